"""What is trained: the contract of a method, EBMs with a replay buffer, CLEL, and their settings."""
