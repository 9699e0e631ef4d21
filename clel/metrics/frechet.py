"""Frechet distance between two sets of features, taken as Gaussians: the second half of FID.

Between N(mu_1, S_1) and N(mu_2, S_2) (Dowson & Landau 1982; Heusel et al. 2017):
    d^2 = |mu_1 - mu_2|^2 + tr S_1 + tr S_2 - 2 tr (S_1^1/2 S_2 S_1^1/2)^1/2
"""

from __future__ import annotations

import warnings

import torch

from clel.data import DataError
from clel.metrics.moments import Gaussian, Moments, TooFewSamples
from clel.storage.log import Notice


class SingularCovariance(Notice):
    """A Frechet distance between Gaussians of which one is degenerate in the feature space."""


def frechet_distance(first: Moments | Gaussian, second: Moments | Gaussian, force: bool = False) -> float:
    """d^2 >= 0, in the square of the features' unit, float64.

    With S_i = R_i R_i^T from symmetric eigendecompositions, the trace is the sum of the singular values of R_1^T R_2:
    no root is taken of a product of covariances, whose small eigenvalues would have lost half their digits.

    Singular covariances are no obstacle: d^2 is what the formula says, and its limit for S_i + e I as e -> 0. As long
    as their matrix square root is finite, pytorch-fid and clean-fid report the same to 1e-6 relative. Where theirs is
    not, they add e = 1e-6 to both diagonals, in that root only, and so report less: by an amount of the order of
    sqrt(e) for each dimension that one set spans and the other does not.

    Args:
        first, second: moments, or Gaussians, whose number of images may be unknown. A Gaussian keeps its root, so the
            one that many are compared with is best held as a Gaussian.
        force: also for n <= D, where the distance says more about n than about the images.

    Raises:
        TooFewSamples: n <= D without `force`, or n < 2.
        DataError: differing D, or what `Gaussian` refuses.

    Warns:
        SingularCovariance: a covariance of rank below D, where D leaves out features that vary in neither set.
    """
    a, b = (g.gaussian if isinstance(g, Moments) else g for g in (first, second))
    if len(a.mean) != len(b.mean):
        raise DataError(f"means of {len(a.mean)} and of {len(b.mean)} features: these are two feature spaces")
    for gaussian in (a, b):
        refuse_few(gaussian.n, len(gaussian.mean), force)
    _warn_of_singular(a, b)
    cross = torch.linalg.svdvals(a.root.T @ b.root).sum()
    value = float((a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * cross)
    # between equal Gaussians rounding may leave it just below
    return max(value, 0.0)


def refuse_few(n: int | None, d: int, force: bool = False) -> None:
    """Raise TooFewSamples unless n > d, n is unknown, or `force`."""
    if n is not None and n <= d and not force:
        raise TooFewSamples(
            f"{n} images are too few for a Frechet distance in a {d}-dimensional feature space: "
            f"take more than {d}, or read the kernel distance (KID) instead"
        )


def _warn_of_singular(a: Gaussian, b: Gaussian) -> None:
    """Features that vary in neither set (dead activations of a small classifier) add nothing and are no defect."""
    variances = torch.stack([g.covariance.diagonal() for g in (a, b)])
    dimension = int((variances > torch.finfo(variances.dtype).eps * variances.max()).any(0).sum())
    for gaussian in (a, b):
        rank = gaussian.root.shape[1]
        if rank < dimension:
            of = "an unknown number of" if gaussian.n is None else gaussian.n
            warnings.warn(
                f"a covariance from {of} images has rank {rank} in {dimension} dimensions, as of few images or of ones "
                "nearly alike; the Frechet distance is computed as it stands, without an offset of the diagonal",
                SingularCovariance,
                stacklevel=3,
            )


__all__ = ["SingularCovariance", "frechet_distance", "refuse_few"]
