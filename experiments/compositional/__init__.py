"""make compositional: attributes composed in samples of a CLEL that was trained without labels."""
