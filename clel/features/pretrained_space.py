"""Feature spaces of networks that others trained on photographs, which take images of any size, grey or in colour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from clel.config import require
from clel.data import DataError


@dataclass(frozen=True)
class PretrainedSpace:
    """A frozen network with its name and identity: a FeatureSpace.

    Attributes:
        identity: hash of the weights and of all else that changes the features.
        dimension, classes: D and K.
        resizing: what `resize` and the network do to the size of images, in words.
        device: the network's.
        resize: uint8 [N, 3, S, S] -> float32 [N, 3, H, W], 0 to 255.
        extract: resized images on the device -> features [N, D].
        logits: features [N, D] -> logits of the classes [N, K].
        images: at a time on a CPU, more of which would be no faster there.
        labelled: False, its classes are those of its own training and not those of the data set.
    """

    name: str
    identity: str
    dimension: int
    classes: int
    resizing: str
    device: torch.device
    resize: Callable[[Tensor], Tensor]
    extract: Callable[[Tensor], Tensor]
    logits: Callable[[Tensor], Tensor]
    images: int = 16
    accuracy: float | None = None
    labelled: bool = False

    @torch.no_grad()
    def __call__(self, pixels: Tensor, batch: int | None = None) -> tuple[Tensor, Tensor]:
        """uint8 images [N, C, S, S] -> features [N, D] and class probabilities [N, K], float32 on the CPU.

        Grey images are repeated to three channels. `batch` images at a time: by default 128 on a GPU, `self.images` on
        a CPU. Halved where a GPU's memory does not hold it.

        Raises:
            DataError: another type, shape or number of channels.
        """
        colour = self._colour(pixels)
        if batch is None:
            batch = 128 if self.device.type == "cuda" else self.images
        require(batch >= 1, f"batch is {batch}; expected at least 1")
        features = torch.empty(len(colour), self.dimension)
        probabilities = torch.empty(len(colour), self.classes)
        # float32 means float32, on a GPU too, and one order of its sums
        with torch.backends.cudnn.flags(torch.backends.cudnn.enabled, deterministic=True, allow_tf32=False):
            start = 0
            while start < len(colour):
                rows = slice(start, start + batch)
                try:
                    f = self.extract(self.resize(colour[rows]).to(self.device))
                except torch.cuda.OutOfMemoryError:
                    only = f"the GPU's memory does not hold {self.name} for one image; free some, or take the CPU"
                    require(batch > 1, only)
                    batch //= 2
                    continue
                features[rows] = f.cpu()
                probabilities[rows] = self.logits(f).softmax(1).cpu()
                start += batch
        return features, probabilities

    def _colour(self, pixels: Tensor) -> Tensor:
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
            given = f"{str(pixels.dtype).removeprefix('torch.')} {list(pixels.shape)}"
            raise DataError(f"{self.name} takes images uint8 [N, 1, S, S] or [N, 3, S, S]; given: {given}")
        return pixels.expand(-1, 3, -1, -1)
