"""Sweeps as Slurm job arrays: what is submitted, what a task does, and what became of it (docs/guides/slurm.md)."""
