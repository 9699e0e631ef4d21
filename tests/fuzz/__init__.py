"""Bad input and kills by the hundred, drawn from a seed: python -m tests.fuzz --help."""
