"""The kinds of runs, and the process that carries one out."""
