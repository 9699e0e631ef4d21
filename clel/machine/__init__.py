"""What a process runs on: its allocator, threads and number formats, the signals that end it, what it takes."""
