"""How much a Frechet distance would vary with another draw of the fakes: the bootstrap (Efron 1979), streamed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from clel.config import require
from clel.metrics.frechet import frechet_distance, refuse_few
from clel.metrics.moments import Gaussian, Moments, RunningMoments

NORMAL_95 = 1.959964
"""97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True)
class Bootstrap:
    """A Frechet distance with its uncertainty from the fakes; see `bootstrap_frechet`.

    Attributes:
        estimate: the distance of all fakes, each once.
        standard_error: standard deviation of the replicates.
        low, high: 95 % interval of the distance expected at this number of fakes.
        bias: mean of the replicates less the estimate: about what the distance expected at this number of fakes lies
            above the one for infinitely many.
        replicates: the resampled distances.
    """

    estimate: float
    standard_error: float
    low: float
    high: float
    bias: float
    replicates: tuple[float, ...]


def bootstrap_frechet(
    real: Moments | Gaussian,
    passes: Callable[[], Iterable[Tensor]],
    generator: torch.Generator,
    replicates: int = 100,
    together: int = 4,
) -> Bootstrap:
    """Standard error and 95 % interval of d^2 over draws of the fakes, real images held fixed.

    A replicate counts each fake Poisson(1) times, as many as a draw of n among n with replacement would in the limit,
    without knowing n beforehand. d^2 is biased by b / n, and a replicate by another b / n over the estimate, so
    quantiles of the replicates (the percentile interval) would sit too high by twice the bias. The interval here is
    estimate +- 1.96 standard errors, cut off at 0, below which no distance is: it is about the expectation of d^2 at
    this n, which is what is reported, and what methods scored at the same n are compared by. It is not about
    n -> infinity, for which see `frechet_infinity`.

    Args:
        passes: called for each pass over the fakes; yields their features [N_i, D] from the start, the same each time.
        generator: seeds a stream of its own for each replicate, so that `together` changes nothing.
        replicates: number of resampled distances, at least 2.
        together: replicates that share a pass, each of which holds a D x D matrix meanwhile.

    Raises:
        TooFewSamples: n (1 - 1/e) <= D, the number of different images in a replicate.
        ConfigError: fewer than 2 replicates, or together < 1.
    """
    require(replicates >= 2 and together >= 1, f"replicates >= 2, together >= 1; given {replicates=}, {together=}")
    real = real.gaussian if isinstance(real, Moments) else real
    fakes = Moments.over(passes())
    refuse_few(math.floor(fakes.n * (1 - math.exp(-1))), len(real.mean))
    estimate = frechet_distance(real, fakes)
    seeds = torch.randint(2**62, (replicates,), generator=generator, device=generator.device).tolist()
    values: list[float] = []
    for start in range(0, replicates, together):
        resamples = _resamples(passes(), seeds[start : start + together])
        values += [frechet_distance(real, resample) for resample in resamples]
    distances = torch.tensor(values, dtype=torch.float64)
    error = float(distances.std())
    return Bootstrap(
        estimate=estimate,
        standard_error=error,
        low=max(estimate - NORMAL_95 * error, 0.0),
        high=estimate + NORMAL_95 * error,
        bias=float(distances.mean()) - estimate,
        replicates=tuple(values),
    )


def _resamples(chunks: Iterable[Tensor], seeds: list[int]) -> list[Moments]:
    """The moments of one resample a seed, in one pass."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    running = [RunningMoments() for _ in seeds]
    for chunk in chunks:
        for generator, moments in zip(generators, running, strict=True):
            counts = torch.poisson(torch.ones(len(chunk)), generator=generator).long()
            moments.add(chunk.repeat_interleave(counts.to(chunk.device), 0))
    return [moments.moments() for moments in running]


__all__ = ["Bootstrap", "bootstrap_frechet"]
