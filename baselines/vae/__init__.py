"""The VAE of VAEBM, a method of its own."""
