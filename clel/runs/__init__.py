"""One run in its folder: what it is, trained and measured, read back, recorded."""
