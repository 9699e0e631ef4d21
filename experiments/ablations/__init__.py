"""make ablations: CLEL with a part taken away or exchanged, and the ladder of Table 1b."""
