"""Langevin chains: dynamics, replay buffer, protocols, and the engine that makes them fast."""
