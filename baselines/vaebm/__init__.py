"""VAEBM."""
