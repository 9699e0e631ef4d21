"""Settings that runs at the size of the papers share."""

from __future__ import annotations

from clel.methods.settings import EvaluateConfig


def full_evaluate(
    steps: int = 600, rounds: int = 10, protocols: tuple[str, ...] = ("clean", "paper")
) -> EvaluateConfig:
    """50,000 samples, measured after every round, and 5,000 to five times the steps; in the features that are there.

    [CLEL Appendix B: 50,000 samples, 600 steps; authors' code: 10 rounds]
    """
    return EvaluateConfig(
        samples=50_000,
        steps=steps,
        rounds=rounds,
        protocols=protocols,
        features="auto",
        bootstrap=20,
        beyond=5.0,
    )
