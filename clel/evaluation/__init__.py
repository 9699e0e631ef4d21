"""Images measured against other images."""
