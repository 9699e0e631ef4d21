"""A card for minutes: train and sample there, measure elsewhere."""
