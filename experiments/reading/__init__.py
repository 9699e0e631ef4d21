"""What is read: rows of CSV files and JSON lines, and the figures that papers report."""
