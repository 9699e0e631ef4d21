"""Samples of a trained method: fresh, or towards classes, images and attributes."""
