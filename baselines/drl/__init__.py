"""Diffusion recovery likelihood (DRL)."""
