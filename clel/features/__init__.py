"""Feature spaces, and reference statistics in them."""
