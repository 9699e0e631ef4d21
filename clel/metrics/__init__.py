"""Distances between sets of features."""

from clel.metrics.bootstrap import Bootstrap, bootstrap_frechet
from clel.metrics.extrapolation import Extrapolation, frechet_infinity
from clel.metrics.frechet import SingularCovariance, frechet_distance
from clel.metrics.inception_score import inception_score
from clel.metrics.kernel import kernel_distance
from clel.metrics.moments import Gaussian, Moments, RunningMoments, TooFewSamples
from clel.metrics.neighbours import NeighbourMetrics, neighbour_metrics

__all__ = [
    "Bootstrap",
    "Extrapolation",
    "Gaussian",
    "Moments",
    "NeighbourMetrics",
    "RunningMoments",
    "SingularCovariance",
    "TooFewSamples",
    "bootstrap_frechet",
    "frechet_distance",
    "frechet_infinity",
    "inception_score",
    "kernel_distance",
    "neighbour_metrics",
]
