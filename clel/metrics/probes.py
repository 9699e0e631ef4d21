"""What a classifier makes of representations: accuracy of k nearest neighbours, and of logistic regression."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from clel.config import require

NEIGHBOURS = 20


def knn_accuracy(
    train: Tensor, labels: Tensor, held_out: Tensor, held_out_labels: Tensor, k: int = NEIGHBOURS
) -> float:
    """Share of the held-out representations [M, D] that have the class most frequent among their k nearest of [N, D].

    Near by the cosine; of classes as frequent the one with the nearer sum of cosines. labels: int64 [N] and [M].

    Raises:
        ConfigError: fewer than k representations to be near to.
    """
    require(len(train) >= k, f"{len(train)} representations; {k} nearest neighbours take at least as many")
    known, classes = F.normalize(train.double(), dim=1), int(labels.max()) + 1
    right = 0
    for part, truth in zip(held_out.split(1000), held_out_labels.split(1000), strict=True):
        near, places = (F.normalize(part.double(), dim=1) @ known.T).topk(k, dim=1)
        votes = F.one_hot(labels[places], classes).double()
        ties = (votes * near[..., None]).sum(1) / (2 * k)  # below 1/2, so that they decide among equals alone
        right += int(((votes.sum(1) + ties).argmax(1) == truth).sum())
    return right / len(held_out)


def linear_accuracy(train: Tensor, labels: Tensor, held_out: Tensor, held_out_labels: Tensor) -> float:
    """Share of the held-out representations [M, D] that logistic regression on [N, D] gets right; standardised."""
    from sklearn.linear_model import LogisticRegression

    mean, std = train.double().mean(0), train.double().std(0).clamp(min=1e-8)
    x, y = (((part.double() - mean) / std).numpy() for part in (train, held_out))
    model = LogisticRegression(max_iter=300, C=0.1).fit(x, labels.numpy())
    return float((torch.from_numpy(model.predict(y)) == held_out_labels).double().mean())
