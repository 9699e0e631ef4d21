"""Networks, and how they are run for less time or memory."""
