"""Engines compared on finished runs."""
