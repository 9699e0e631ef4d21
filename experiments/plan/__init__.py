"""What a table will take: time, memory, disk."""
