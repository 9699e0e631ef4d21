"""Detection of images out of distribution: against closed forms, scikit-learn and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap, mannwhitneyu, norm
from sklearn.metrics import average_precision_score, roc_auc_score

from clel.config import ConfigError
from clel.metrics.ood import auroc, detection, resampled_auroc


def scores(n: int, mean: float, seed: int) -> torch.Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed)) + mean


def test_a_perfect_score_gives_one_and_its_opposite_nought() -> None:
    low, high = torch.linspace(0, 1, 50), torch.linspace(2, 3, 70)
    found = detection(low, high, replicates=20)
    assert (found.auroc, found.low, found.high, found.aupr_in, found.aupr_out, found.fpr95) == (1, 1, 1, 1, 1, 0)
    assert (found.n_in, found.n_out) == (50, 70)
    turned = detection(high, low, replicates=20)
    assert (turned.auroc, turned.fpr95) == (0, 1) and turned.aupr_in < 70 / 120


def test_higher_scores_outside_give_more_than_a_half() -> None:
    assert auroc(scores(200, 0.0, 0), scores(200, 1.0, 1)) > 0.6 > 0.4 > auroc(scores(200, 1.0, 1), scores(200, 0.0, 0))


def test_two_normal_distributions_have_the_auroc_of_the_closed_form() -> None:
    shift, n = 1.3, 20_000
    exact = norm.cdf(shift / math.sqrt(2))
    assert auroc(scores(n, 0.0, 0), scores(n, shift, 1)) == pytest.approx(exact, abs=0.01)
    assert detection(scores(n, 0.0, 0), scores(n, shift, 1), replicates=2).fpr95 == pytest.approx(
        norm.cdf(norm.ppf(0.95) - shift), abs=0.02
    )


def test_equal_scores_count_by_half() -> None:
    inside, outside = torch.tensor([0.0, 1.0, 1.0]), torch.tensor([1.0, 2.0])
    # pairs below: (0, 1), (0, 2), (1, 2), (1, 2); equal: two pairs
    assert auroc(inside, outside) == pytest.approx((4 + 2 / 2) / 6)
    one = torch.ones(10)
    assert detection(one, one, replicates=5).auroc == detection(one, one, replicates=5).high == 0.5


def test_all_figures_are_scikit_learns() -> None:
    inside, outside = scores(80, 0.0, 0).round(decimals=1), scores(130, 0.8, 1).round(decimals=1)
    found = detection(inside, outside, replicates=5)
    labels = [1] * 80 + [0] * 130
    values = torch.cat([inside, outside]).double().numpy()
    assert found.auroc == pytest.approx(roc_auc_score(labels, -values))
    assert found.auroc == pytest.approx(mannwhitneyu(outside, inside).statistic / (80 * 130))
    assert found.aupr_in == pytest.approx(average_precision_score(labels, -values))
    assert found.aupr_out == pytest.approx(average_precision_score([1 - label for label in labels], values))
    threshold = inside.sort().values[math.ceil(0.95 * 80) - 1]
    assert found.fpr95 == pytest.approx((outside <= threshold).double().mean())


def test_aupr_moves_with_the_counts_and_auroc_does_not() -> None:
    inside, outside = scores(300, 0.0, 0), scores(300, 1.0, 1)
    few, many = detection(inside, outside, replicates=2), detection(inside, outside.repeat(10), replicates=2)
    assert many.auroc == pytest.approx(few.auroc) and many.fpr95 == pytest.approx(few.fpr95)
    assert many.aupr_in < few.aupr_in - 0.1 and many.aupr_out > few.aupr_out


def test_the_interval_is_scipys() -> None:
    inside, outside = scores(60, 0.0, 0), scores(90, 0.8, 1)
    found = detection(inside, outside, seed=3, replicates=2000)
    theirs = bootstrap(
        (inside.double().numpy(), outside.double().numpy()),
        lambda a, b, axis: mannwhitneyu(b, a, axis=axis).statistic / (60 * 90),
        n_resamples=2000,
        method="percentile",
        vectorized=True,
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.015)
    assert found.low < found.auroc < found.high


def test_a_replicate_of_one_score_a_side_is_that_score() -> None:
    assert (resampled_auroc(torch.zeros(1), torch.ones(1), 0, 7) == 1).all()


def test_the_seed_decides_the_interval() -> None:
    inside, outside = scores(60, 0.0, 0), scores(90, 0.8, 1)
    first, again, other = (resampled_auroc(inside, outside, seed, 20) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_scores_that_are_no_numbers_are_refused() -> None:
    good = torch.arange(3.0)
    with pytest.raises(ConfigError, match="1 of 3 scores of images out of it are no finite numbers"):
        auroc(good, torch.tensor([0.0, math.nan, 1.0]))
    with pytest.raises(ConfigError, match="2 of 3 scores of images in distribution"):
        detection(torch.tensor([math.inf, -math.inf, 1.0]), good)
    with pytest.raises(ConfigError, match="no score of an image in distribution"):
        auroc(torch.empty(0), good)
