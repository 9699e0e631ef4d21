"""Numbers as tables print them."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from experiments.printing.markup import DASH, MINUS


def number(value: object, decimals: int = 0, scale: float = 1.0) -> str:
    """The number times scale with thousands separated, empty for a missing one."""
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return ""
    rounded = round(float(value) * scale, decimals) + 0.0  # type: ignore[arg-type]  # + 0.0 turns -0.0 into 0.0
    return f"{rounded:,.{decimals}f}".replace("-", MINUS)


def counted_runs(n: int, declared: int) -> str:
    """Of how many runs a number is: "n=3", or "n=2/3" where some have none."""
    return f"n={n}" if n == declared else f"n={n}/{declared}"


def mean_and_std(numbers: pd.Series, metric: str, scale: float = 1.0) -> str:
    """The mean ± std of a metric of one row of Table.values, times scale; the mean alone where there is no std."""
    mean = numbers[f"{metric}_mean"]
    if pd.isna(mean):
        return ""
    decimals = 2 if abs(mean) * scale < 100 else 1
    deviation = number(numbers[f"{metric}_std"], decimals, scale)
    return number(mean, decimals, scale) + (f" ± {deviation}" if deviation else "")


def spread(values: Iterable[float], decimals: int) -> str:
    """The mean ± sample standard deviation; the mean alone of one value, a dash of none."""
    numbers = pd.Series(list(values), dtype=float)
    deviation = number(numbers.std(), decimals)
    return number(numbers.mean(), decimals) + (f" ± {deviation}" if deviation else "") or DASH


def interval(numbers: pd.Series, source: str, prefix: str = "") -> str:
    """The bootstrap interval " [low, high]" of the one run that a row stands on; empty with several, or without one.

    prefix: of the metrics of a further feature space, "lite0_".
    """
    low, high = (numbers.get(f"{prefix}fid_{end}_{source}_mean") for end in ("low", "high"))
    if numbers["n"] != 1 or low is None or pd.isna(low):
        return ""
    decimals = 2 if abs(numbers[f"{prefix}fid_{source}_mean"]) < 100 else 1
    return f" [{number(low, decimals)}, {number(high, decimals)}]"


def with_interval(value: object, low: object, high: object) -> str:
    """A number with its interval, "0.13 [−0.19, 0.45]"; the number alone without one, empty without a number."""
    text, ends = number(value, 2), (number(low, 2), number(high, 2))
    return f"{text} [{', '.join(ends)}]" if text and all(ends) else text
