"""How well a score tells images of the data from others: AUROC with a bootstrap interval, AUPR both ways, FPR.

A score s(x) is low for images like the data, as an energy is. Images in distribution are the positive class and -s the
detector's score, as in CLEL's release (utils.py, OODEvaluation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from clel.config import require

TPR = 0.95
"""Share of the images in distribution that are accepted where the false positive rate is taken."""


@dataclass(frozen=True)
class Detection:
    """What `detection` measures; all in [0, 1].

    Attributes:
        auroc: P(s(in) < s(out)) + P(s(in) = s(out)) / 2; 1/2 by chance, whatever the counts.
        low, high: 95 % interval of the AUROC over draws of both sides.
        aupr_in: average precision with the images in distribution as positives; n_in / (n_in + n_out) by chance.
        aupr_out: the same with the others as positives, found by +s.
        fpr95: share of the others that is accepted at the threshold that accepts 95 % of the images in distribution.
        n_in, n_out: images of both sides.
    """

    auroc: float
    low: float
    high: float
    aupr_in: float
    aupr_out: float
    fpr95: float
    n_in: int
    n_out: int


def auroc(inside: Tensor, outside: Tensor) -> float:
    """P(s(in) < s(out)) + P(s(in) = s(out)) / 2 of scores [N] and [M].

    Raises:
        ConfigError: no score on one side, or one that is no finite number.
    """
    from sklearn.metrics import roc_auc_score

    labels, scores = _labelled(inside, outside)
    return float(roc_auc_score(labels, -scores))


def detection(inside: Tensor, outside: Tensor, seed: int = 0, replicates: int = 1000) -> Detection:
    """All figures for scores s of images in distribution [N] and of others [M].

    Args:
        seed: of the bootstrap, which draws both sides anew `replicates` times; the interval has its quantiles 2.5 % and
            97.5 %.

    Raises:
        ConfigError: no score on one side, or one that is no finite number.
    """
    from sklearn.metrics import average_precision_score, roc_curve

    labels, scores = _labelled(inside, outside)
    accepted, found, _ = roc_curve(labels, -scores, drop_intermediate=False)
    low, high = np.quantile(resampled_auroc(inside, outside, seed, replicates), (0.025, 0.975))
    return Detection(
        auroc=auroc(inside, outside),
        low=float(low),
        high=float(high),
        aupr_in=float(average_precision_score(labels, -scores)),
        aupr_out=float(average_precision_score(1 - labels, scores)),
        fpr95=float(accepted[np.argmax(found >= TPR)]),
        n_in=len(inside),
        n_out=len(outside),
    )


def resampled_auroc(inside: Tensor, outside: Tensor, seed: int, replicates: int) -> np.ndarray:
    """AUROCs [replicates] of as many scores as given, drawn from each side with replacement.

    scipy's bootstrap would rank every replicate anew; here the scores are ranked once, and a replicate counts them.
    """
    generator = np.random.default_rng(seed)
    _, levels = np.unique(_labelled(inside, outside)[1], return_inverse=True)
    count = levels.max() + 1
    first, second = levels[: len(inside)], levels[len(inside) :]
    values = np.empty(replicates)
    for number in range(replicates):
        drawn = np.bincount(first[generator.integers(len(first), size=len(first))], minlength=count)
        others = np.bincount(second[generator.integers(len(second), size=len(second))], minlength=count)
        below = np.cumsum(drawn) - drawn / 2
        values[number] = below @ others / (len(first) * len(second))
    return values


def _labelled(inside: Tensor, outside: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(1 for images in distribution and 0 for others, scores in float64), both [N + M]."""
    sides = [side.detach().cpu().double().numpy() for side in (inside, outside)]
    for name, side in zip(("in distribution", "out of it"), sides, strict=True):
        wrong = int((~np.isfinite(side)).sum())
        require(len(side) > 0, f"no score of an image {name}; expected one or more")
        require(wrong == 0, f"{wrong} of {len(side)} scores of images {name} are no finite numbers")
    return np.repeat([1, 0], [len(side) for side in sides]), np.concatenate(sides)
