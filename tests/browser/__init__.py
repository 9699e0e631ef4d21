"""Tests of the pages in a real browser: Chromium of the system's packages; skipped where there is none."""
