"""A run of the study of chains."""
