"""Tests of two samples: Welch's of their means, equivalence of these, Mann and Whitney's of ranks, Holm's correction.

scipy is imported where it is called: it takes as long to import as all else that a command needs besides torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

LEVEL = 0.05
"""Of every test: what has a p below it counts as shown; intervals are of 1 - LEVEL."""


def welch(a: pd.Series, b: pd.Series) -> dict[str, float | None]:
    """How far two samples' means m are apart (Welch, Biometrika 1947).

    Returns:
        difference = m_a - m_b; standard_error = sqrt(d_a^2 / n_a + d_b^2 / n_b) with sample standard deviations d; t,
        dof and two-sided p of Welch's test; low and high, the 95 % interval of the difference. All but the first, which
        is NaN of an empty sample, are None where a sample has fewer than two values. Without any spread p is 1 of equal
        means and 0 of others, and t, dof and the interval are None.
    """
    unknown = dict.fromkeys(("standard_error", "t", "dof", "p", "low", "high"))
    difference = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return {"difference": difference, **unknown}
    error = math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    found = {"difference": difference, **unknown, "standard_error": error, "p": float(difference == 0)}
    if error > 0:
        from scipy import stats

        test = stats.ttest_ind(a, b, equal_var=False)
        interval = test.confidence_interval(1 - LEVEL)
        found |= {"t": float(test.statistic), "dof": float(test.df), "p": float(test.pvalue)}
        found |= {"low": float(interval.low), "high": float(interval.high)}
    return found


def equivalence(a: pd.Series, b: pd.Series, share: float) -> float | None:
    """p of two one-sided tests of Welch's that (1 - s) m_b < m_a < (1 + s) m_b, m_b > 0 (Schuirmann 1987): the larger.

    Each is of a against the multiple of b, whose spread grows with it, so that the bound's own error counts. None
    where a sample has fewer than two values; without any spread 0 where m_a lies between, and 1 where it does not.
    """
    if min(len(a), len(b)) < 2:
        return None
    if a.nunique() == b.nunique() == 1:
        return 0.0 if (1 - share) * b.mean() < a.mean() < (1 + share) * b.mean() else 1.0
    from scipy import stats

    above = stats.ttest_ind(a, (1 - share) * b, equal_var=False, alternative="greater")
    below = stats.ttest_ind(a, (1 + share) * b, equal_var=False, alternative="less")
    return float(max(above.pvalue, below.pvalue))


def ranks(a: Sequence[float], b: Sequence[float]) -> tuple[float, float] | None:
    """(P(a < b) + 1/2 P(a = b), two-sided p) of two samples by Mann and Whitney (1947); infinity is a value like any.

    The first is U / (n m), the share of pairs in which a is the smaller. p is exact, and the normal approximation with
    its correction for ties where there are any. None where a sample has fewer than two values.
    """
    if min(len(a), len(b)) < 2:
        return None
    from scipy import stats

    tied = len({*a, *b}) < len(a) + len(b)
    # scipy's U counts the pairs in which its first sample is the larger
    test = stats.mannwhitneyu(b, a, method="asymptotic" if tied else "exact")
    # of values that are all the same the approximation has no spread to divide by
    return float(test.statistic) / (len(a) * len(b)), float(np.nan_to_num(test.pvalue, nan=1.0))


def holm(p: Sequence[float]) -> list[float]:
    """The p of a family of tests, each corrected for their number (Holm 1979), in the order given.

    With k of them sorted, p_i (i = 0, 1, ...) becomes max over j <= i of min(1, (k - j) p_j).
    """
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, factors * np.asarray(p, dtype=float)[order]))
    return adjusted.tolist()
