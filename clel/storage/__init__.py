"""Files that survive kills and full disks: written whole, locked, logged, cached, with where they come from."""
