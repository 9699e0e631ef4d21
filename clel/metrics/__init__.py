"""What samples are measured by: feature spaces, and distances between sets of features."""

from clel.metrics.classifier import FeatureSpace, classifier_space
from clel.metrics.frechet import TooFewSamples, frechet_distance, kernel_distance, moments
from clel.metrics.neighbours import precision_recall

__all__ = [
    "FeatureSpace",
    "TooFewSamples",
    "classifier_space",
    "frechet_distance",
    "kernel_distance",
    "moments",
    "precision_recall",
]
