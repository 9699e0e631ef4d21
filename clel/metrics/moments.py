"""First and second moments of features, streamed and merged without loss, and the Gaussians that they describe.

Two sets of sizes n_a, n_b, means mu_a, mu_b and scatters M_a, M_b have together (Chan, Golub & LeVeque 1979), with
delta = mu_b - mu_a and n = n_a + n_b:
    mu = mu_a + delta n_b / n,    M = M_a + M_b + delta delta^T n_a n_b / n
Deviations are always from a mean, so a large common offset of the features costs no digits, as sums of squares would.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from clel.data import DataError

ROWS = 4096
"""Features that are converted to float64 at a time."""


class TooFewSamples(ValueError):
    """Too few images for the metric that was asked for."""


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(mean [D], covariance [D, D]), float64 on the CPU, estimated from n images; None where that is unknown.

    Raises:
        DataError: shapes that do not fit, values that are not finite, or a matrix that is not symmetric.
    """

    mean: Tensor
    covariance: Tensor
    n: int | None = None

    def __post_init__(self) -> None:
        d = self.mean.numel()
        if self.mean.shape != (d,) or self.covariance.shape != (d, d):
            raise DataError(
                f"a Gaussian takes a mean [D] and a covariance [D, D]; given {list(self.mean.shape)} and "
                f"{list(self.covariance.shape)}"
            )
        if not self.mean.dtype == self.covariance.dtype == torch.float64:
            raise DataError("a Gaussian is of float64; Gaussian.of converts what it is given")
        if not (self.mean.isfinite().all() and self.covariance.isfinite().all()):
            raise DataError("the mean or the covariance holds values that are not finite: look for NaN in the features")
        if (self.covariance - self.covariance.T).abs().max() > 1e-6 * self.covariance.abs().max():
            raise DataError("the covariance is not symmetric: this is no covariance matrix")

    @classmethod
    def of(cls, mean: Any, covariance: Any, n: int | None = None) -> Gaussian:
        """From tensors or NumPy arrays of any float type, such as `mu` and `sigma` of a published .npz file.

        They go to the CPU, so that distances are the same wherever the features were made.
        """
        mean, covariance = (torch.as_tensor(m).to("cpu", torch.float64) for m in (mean, covariance))
        return cls(mean, covariance, n)

    @cached_property
    def root(self) -> Tensor:
        """R [D, r] with R R^T = covariance and r its rank: eigenvectors times the roots of their eigenvalues.

        Eigenvalues up to D eps max(eigenvalue), eps = 2^-52, are rounding and count as 0.

        Raises:
            DataError: an eigenvalue below -1e-4 max(eigenvalue).
        """
        values, vectors = eigen(self.covariance)
        largest = float(values[-1].clamp(min=0))
        if float(values[0]) < -1e-4 * largest:
            raise DataError(
                f"eigenvalues from {float(values[0]):.3g} to {float(values[-1]):.3g}: this is no covariance matrix"
            )
        kept = values > len(values) * torch.finfo(torch.float64).eps * largest
        return vectors[:, kept] * values[kept].sqrt()


def eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues [D], ascending, and eigenvectors [D, D] of a symmetric matrix.

    LAPACK's divide and conquer may not converge where many eigenvalues are alike, as of few images; its QR iteration,
    which is slower, does.
    """
    try:
        return torch.linalg.eigh(matrix)
    except torch.linalg.LinAlgError:
        import scipy.linalg  # slow to import, and hardly ever needed

        values, vectors = scipy.linalg.eigh(matrix.numpy(), driver="ev")
        return torch.from_numpy(values), torch.from_numpy(vectors)


@dataclass(frozen=True, eq=False)
class Moments:
    """Number n, mean [D] and scatter M [D, D] = sum_i (x_i - mean)(x_i - mean)^T of features, float64."""

    n: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Of features [N, D] of any float type and device, in float64 there; N may be 1."""
        return cls.over([features])

    @classmethod
    def over(cls, chunks: Iterable[Tensor]) -> Moments:
        """Of all features of a stream of chunks [N_i, D], in one pass; see `RunningMoments`.

        Raises:
            TooFewSamples: there are no features.
            DataError: chunks of another shape, or of differing D.
        """
        running = RunningMoments()
        for chunk in chunks:
            running.add(chunk)
        return running.moments()

    def __add__(self, other: Moments) -> Moments:
        """The moments of both sets together."""
        n = self.n + other.n
        delta = other.mean - self.mean
        scatter = self.scatter + other.scatter + torch.outer(delta, delta) * (self.n * other.n / n)
        return Moments(n, self.mean + delta * (other.n / n), scatter)

    @property
    def covariance(self) -> Tensor:
        """Unbiased, M / (n - 1) [D, D], as of numpy.cov, pytorch-fid and clean-fid.

        Raises:
            TooFewSamples: n < 2.
        """
        if self.n < 2:
            raise TooFewSamples(f"a covariance takes at least 2 images; given {self.n}")
        return self.scatter / (self.n - 1)

    @cached_property
    def gaussian(self) -> Gaussian:
        """The Gaussian of this mean and covariance."""
        return Gaussian.of(self.mean, self.covariance, self.n)


class RunningMoments:
    """Moments of the features added so far; holds one D x D matrix, however many they are."""

    def __init__(self) -> None:
        self.n = 0
        self.mean: Tensor = torch.empty(0)
        self.scatter: Tensor = torch.empty(0)

    def add(self, features: Tensor) -> None:
        """Add features [N, D]; N may be 0.

        Raises:
            DataError: features of another shape, or of another D than those before.
        """
        if features.ndim != 2 or (self.n and features.shape[1] != len(self.mean)):
            wanted = f"[N, {len(self.mean)}], as those before" if self.n else "[N, D]"
            raise DataError(f"features are {wanted}; given {list(features.shape)}")
        for part in features.split(ROWS):
            if len(part):
                self._merge(part.double())

    def _merge(self, x: Tensor) -> None:
        """The merge as one matrix product: its rank-one term is one more row among the deviations."""
        mean = x.mean(0)
        if not self.n:
            self.mean, self.scatter = torch.zeros_like(mean), x.new_zeros(x.shape[1], x.shape[1])
        n = self.n + len(x)
        delta = mean - self.mean
        rows = torch.cat([x - mean, delta[None] * math.sqrt(self.n * len(x) / n)])
        self.scatter.addmm_(rows.T, rows)
        self.mean = self.mean + delta * (len(x) / n)
        self.n = n

    def moments(self) -> Moments:
        """A copy of the state.

        Raises:
            TooFewSamples: nothing was added.
        """
        if not self.n:
            raise TooFewSamples("there are no features, so there are no moments")
        return Moments(self.n, self.mean, self.scatter.clone())


__all__ = ["Gaussian", "Moments", "RunningMoments", "TooFewSamples"]
