"""The check of a feature space: ladders of corruptions."""
