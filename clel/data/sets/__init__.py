"""Data sets, each in its own form on disk -> uint8 images."""
