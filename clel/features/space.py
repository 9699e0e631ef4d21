"""What every feature space offers, whichever network it stands on."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class FeatureSpace(Protocol):
    """A frozen map from images to features and class probabilities.

    Attributes:
        name: as it is shown in tables.
        identity: hash of all that changes the features; distances compare only within one identity.
        accuracy: share of a held-out split classified rightly; None where there was none.
        dimension: D, the length of a feature vector.
        labelled: whether its classes are those of the data set it is used on.
        resizing: what is done to the size of images, in words.
    """

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def accuracy(self) -> float | None: ...

    @property
    def dimension(self) -> int: ...

    @property
    def labelled(self) -> bool: ...

    @property
    def resizing(self) -> str: ...

    def __call__(self, pixels: Tensor, batch: int = ...) -> tuple[Tensor, Tensor]:
        """uint8 images [N, C, S, S] -> features [N, D] and class probabilities [N, K], both on the CPU.

        At most `batch` images are in the network at a time; its size changes nothing but the rounding.
        """
        ...


def is_inception(shown: str) -> bool:
    """Whether a space that is called so in tables is Inception's, of which alone a distance is an FID."""
    return shown.lower().startswith("inception")
