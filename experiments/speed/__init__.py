"""Time and memory of training and sampling."""
