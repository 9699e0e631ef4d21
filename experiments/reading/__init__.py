"""What is read: rows of CSV files and JSON lines, the figures that papers report, and paths as they were given."""
