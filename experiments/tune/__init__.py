"""make tune: the settings of a profile's presets, chosen by one rule for every method."""
