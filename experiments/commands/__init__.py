"""Commands on what was submitted or made, and the table of artefacts."""
