"""What the feature spaces are called: settings name them without the networks that they are made of."""

AUTO = "auto"
"""Stands for one of the others, by data set and what is there; see clel/evaluation/feature_choice.py."""
NAMES = (
    "classifier",
    "inception-clean",
    "inception-pytorch",
    "inception-tensorflow",
    "lite0",
    "dinov2-vitl14",
    "dinov2-vits14",
)
"""Those of clel/features/spaces.py, in its order."""
