"""Runs declared, launched, found again and read."""
