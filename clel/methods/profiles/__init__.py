"""Settings of a profile that its methods share; full: of the profiles `small` and `paper`."""
