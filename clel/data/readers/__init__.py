"""Images of any origin: folders, archives, arrays."""
