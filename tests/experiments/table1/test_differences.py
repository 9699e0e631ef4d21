"""Tests of two samples against what their definitions give, computed here in another way."""

from __future__ import annotations

from itertools import combinations, product
from math import inf, sqrt

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.table1.differences import equivalence, holm, ranks, welch

A, B = pd.Series([0.2, 0.3, 0.4, 0.9]), pd.Series([0.7, 1.1, 0.8])
C = pd.Series([0.5, 0.4, 0.6])


def test_welch_by_its_formula() -> None:
    a, b = A.var() / 4, B.var() / 3
    error, dof = sqrt(a + b), (a + b) ** 2 / (a**2 / 3 + b**2 / 2)
    found = welch(A, B)
    difference = A.mean() - B.mean()
    half = stats.t.ppf(0.975, dof) * error
    assert found["difference"] == pytest.approx(difference) and found["standard_error"] == pytest.approx(error)
    assert found["t"] == pytest.approx(difference / error) and found["dof"] == pytest.approx(dof)
    assert found["p"] == pytest.approx(2 * stats.t.sf(abs(difference) / error, dof))
    assert (found["low"], found["high"]) == pytest.approx((difference - half, difference + half))


def test_samples_too_small_or_without_spread() -> None:
    one, same = pd.Series([0.3]), pd.Series([0.5, 0.5])
    assert welch(one, same)["difference"] == pytest.approx(-0.2)
    assert {value for name, value in welch(one, same).items() if name != "difference"} == {None}
    assert welch(same, same)["p"] == 1 and welch(same, same + 0.1)["p"] == 0 and welch(same, same)["t"] is None
    assert equivalence(one, same, 1.0) is None and ranks([0.3], [0.5, 0.5]) is None
    assert equivalence(same, same, 0.1) == 0 and equivalence(same, same + 0.2, 0.1) == 1


def test_equivalence_is_two_one_sided_tests_against_multiples_of_the_second() -> None:
    """Each by Welch's formulas, of a and c b with c = 0.75 and 1.25."""

    def t_and_dof(c: float) -> tuple[float, float]:
        u, v = A.var() / 4, c**2 * C.var() / 3
        return (A.mean() - c * C.mean()) / sqrt(u + v), (u + v) ** 2 / (u**2 / 3 + v**2 / 2)

    (low, low_dof), (high, high_dof) = t_and_dof(0.75), t_and_dof(1.25)
    expected = max(stats.t.sf(low, low_dof), stats.t.cdf(high, high_dof))
    assert equivalence(A, C, 0.25) == pytest.approx(expected)


def test_equivalence_is_shown_of_near_means_alone() -> None:
    a = pd.Series([0.99, 1.0, 1.01])
    for factor, near in ((1.0, True), (1.15, True), (0.85, True), (1.5, False), (0.5, False)):
        p = equivalence(factor * a, a, 0.25)
        assert p is not None and (p < 0.05) is near, factor


def test_equivalence_is_wrong_at_its_bound_about_once_in_twenty() -> None:
    generator = np.random.default_rng(0)
    a = 1.25 * (1 + 0.2 * generator.standard_normal((2000, 10)))
    b = 1 + 0.2 * generator.standard_normal((2000, 10))
    wrong = np.mean([equivalence(pd.Series(x), pd.Series(y), 0.25) < 0.05 for x, y in zip(a, b, strict=True)])  # type: ignore[operator]
    assert 0.03 < wrong < 0.065


def shares(a: list[float], b: list[float]) -> float:
    return float(np.mean([1.0 if x < y else 0.5 if x == y else 0.0 for x, y in product(a, b)]))


@pytest.mark.parametrize(
    ("a", "b"), [([1, 2, 3], [4, 5, 6]), ([1, 4, 6], [2, 3, 5, 7]), ([1, 2, inf], [2, 3, inf, inf]), ([1, 1], [1, 1])]
)
def test_the_probability_is_the_share_of_pairs(a: list[float], b: list[float]) -> None:
    found = ranks(a, b)
    assert found is not None and found[0] == shares(a, b)
    swapped = ranks(b, a)
    assert swapped is not None and swapped == pytest.approx((1 - found[0], found[1]))


def test_p_of_ranks_is_exact_without_ties() -> None:
    """Of all ways to choose a's places among all values, the share whose probability is as far from one half."""
    a, b = [1, 2, 3, 6], [4, 5, 7, 8, 9]
    every = sorted(a + b)
    shared = [shares(list(c), [v for v in every if v not in c]) for c in combinations(every, len(a))]
    expected = np.mean([abs(s - 0.5) >= abs(shares(a, b) - 0.5) - 1e-12 for s in shared])
    found = ranks(a, b)
    assert found is not None and found[1] == pytest.approx(expected)


def test_p_of_ranks_with_ties() -> None:
    """The normal approximation with ties' correction, and with continuity's: all the same decides nothing."""
    a, b, n = [1.0, 2.0, 3.0, 4.0], [5.0, inf, inf, inf], 8
    variance = 4 * 4 / 12 * ((n + 1) - (3**3 - 3) / (n * (n - 1)))
    found, none = ranks(a, b), ranks([inf, inf], [inf, inf])
    assert found is not None and found[1] == pytest.approx(2 * stats.norm.sf((16 - 8 - 0.5) / sqrt(variance)))
    assert none == (0.5, 1.0)


def test_holm() -> None:
    # 4 x 0.01, 3 x 0.02, 2 x 0.03, 1 x 0.9, and none below the one before
    assert holm([0.03, 0.01, 0.9, 0.02]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0] and holm([]) == []
    # rejects in the order of p until one stays
    for p in ([0.012, 0.02, 0.03, 0.8], [0.013, 0.001, 0.002, 0.0001]):
        rejected, order = set(), sorted(range(len(p)), key=lambda i: p[i])
        for k, i in enumerate(order):
            if p[i] >= 0.05 / (len(p) - k):
                break
            rejected.add(i)
        assert {i for i, value in enumerate(holm(p)) if value < 0.05} == rejected
