"""Inception Score (Salimans et al., NeurIPS 2016): how sure a classifier is of each image, and how diverse of all."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from clel.data import DataError
from clel.metrics.moments import TooFewSamples
from clel.metrics.streams import segments

SPLITS = "inception_splits"
"""What a protocol says of the images of the Inception Score's splits; one without it took them in the files' order."""
ROWS = 4096
"""Probabilities that are converted to float64 at a time."""


def inception_score(
    probabilities: Tensor | Iterable[Tensor],
    n: int | None = None,
    splits: int = 10,
    generator: torch.Generator | None = None,
) -> tuple[float, float]:
    """exp(mean_x KL(p(y|x) || p(y))) of each split, p(y) being the mean over the split; in [1, K].

    One pass, which keeps K + 1 sums, as mean_x KL = mean_x sum_y p(y|x) log p(y|x) - sum_y p(y) log p(y).

    Args:
        probabilities: p(y|x), rows of sum 1, of any float type: a tensor [N, K], or a stream of chunks [N_i, K].
        n: total number of images of a stream, which the splits depend on.
        splits: split i = 0, 1, ... holds images floor(i n / splits) up to floor((i + 1) n / splits), so sizes differ by
            at most one where n is not divisible.
        generator: of a random order (on the CPU), in which the splits are cut; None: in the order given. Of images
            sorted by class each split has few classes, and the score is near 1 whatever the images.

    Returns:
        mean, and standard deviation (divided by `splits`) over the splits.

    Raises:
        TooFewSamples: n < splits.
        DataError: a stream without n or not of n images, or rows that are no probabilities.
    """
    if isinstance(probabilities, Tensor):
        probabilities, n = [probabilities], len(probabilities)
    if n is None:
        raise DataError("the Inception Score of a stream takes n, its total number of images")
    if not 1 <= splits <= n:
        raise TooFewSamples(
            f"an Inception Score takes an image a split, and a split; given {n} images, {splits} splits"
        )
    ends = torch.tensor([(i + 1) * n // splits for i in range(splits)])
    split = torch.searchsorted(ends, torch.arange(n), right=True)
    if generator is not None:
        split = split[torch.randperm(n, generator=generator)]
    totals, seen = [_Total() for _ in ends], 0
    for _, rows in segments(probabilities, [n]):
        for part in rows.split(ROWS):
            owner = split[seen : seen + len(part)].to(part.device)
            seen += len(part)
            for i in owner.unique().tolist():
                totals[i].add(part[owner == i].double())
    scores = torch.stack([total.score() for total in totals])
    return float(scores.mean()), float(scores.std(correction=0))


class _Total:
    """Sums of p(y|x) [K] and of sum_y p(y|x) log p(y|x) over the images of a split."""

    def __init__(self) -> None:
        self.n = 0
        self.marginal: Tensor = torch.zeros(())
        self.negentropy: Tensor = torch.zeros(())

    def add(self, p: Tensor) -> None:
        # float32 softmax over a thousand classes is within 1e-5 of 1
        if p.ndim != 2 or not (p.min() >= 0 and ((p.sum(1) - 1).abs() <= 1e-3).all()):
            raise DataError(
                f"an Inception Score takes class probabilities [N, K], each row of sum 1; given {list(p.shape)} with "
                f"values in [{float(p.min()):.3g}, {float(p.max()):.3g}]: logits take a softmax first"
            )
        self.n += len(p)
        self.marginal = self.marginal.to(p) + p.sum(0)
        self.negentropy = self.negentropy.to(p) - torch.special.entr(p).sum()

    def score(self) -> Tensor:
        return (self.negentropy / self.n + torch.special.entr(self.marginal / self.n).sum()).exp()


__all__ = ["inception_score"]
