"""Images in memory, and the one pixel convention of the suite.

Images are uint8 [N, C, H, W]. To floats: x = (v + u) / 256 with u uniform in [0, 1), so x lies in [0, 1); back:
v = floor(256 x), clamped to [0, 255]. Grey images have one channel. Networks normalise with the training split's mean
and standard deviation, inside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from clel.random import stream


class DataError(ValueError):
    """Data that is missing or cannot be used; the message names the file and says what would do."""


@dataclass(frozen=True)
class ImageSpec:
    """What a network must know of images: channels C, side H = W in pixels, mean and std a channel in [0, 1]."""

    channels: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return (self.channels, self.size, self.size)


@dataclass(frozen=True)
class Images:
    """A data set split held in memory.

    Attributes:
        pixels: uint8 [N, C, H, W] with H = W and C in {1, 3}.
        labels: int64 [N] in [0, classes), or None.
        name, split: where it is from, such as ("digits", "train").
        classes: names of the classes, in label order; empty without labels.
        attributes: further int64 [N] labels by name (the shapes data set has shape, colour, size, ...).
        values: names of the values of each attribute, in the order of its labels.

    Raises:
        DataError: pixels or labels of another kind, or no image at all.
    """

    pixels: Tensor
    labels: Tensor | None = None
    name: str = "images"
    split: str = "train"
    classes: tuple[str, ...] = ()
    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        p = self.pixels
        if not isinstance(p, Tensor):
            raise DataError(
                f"{self.name}: images are a {type(p).__name__}; expected a tensor (torch.from_numpy makes one)"
            )
        if p.dtype != torch.uint8 or p.ndim != 4 or p.shape[1] not in (1, 3) or p.shape[2] != p.shape[3]:
            raise DataError(
                f"{self.name}: images are {p.dtype} {tuple(p.shape)}; "
                "expected uint8 [N, C, H, W] with C = 1 or 3 and H = W (floats in [0, 1): floor(256 x))"
            )
        if len(p) == 0:
            raise DataError(f"{self.name}: the split {self.split!r} has no image")
        if self.labels is not None:
            if self.labels.dtype != torch.int64 or self.labels.shape != (len(p),):
                given = f"{self.labels.dtype} {tuple(self.labels.shape)}"
                raise DataError(f"{self.name}: labels are {given}; expected int64 [{len(p)}]")
            if self.classes and not (0 <= int(self.labels.min()) and int(self.labels.max()) < len(self.classes)):
                raise DataError(f"{self.name}: labels lie outside the {len(self.classes)} classes it names")

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def spec(self) -> ImageSpec:
        """Shape, and mean and std a channel of v / 255 in float64, rounded to four digits as published ones are."""
        # In pieces: float64 of a whole split would take eight times its memory.
        count, total, square = 0, torch.zeros(self.pixels.shape[1]).double(), torch.zeros(self.pixels.shape[1]).double()
        for piece in self.pixels.split(4096):
            v = piece.cpu().double() / 255
            count += v.numel() // v.shape[1]
            total += v.sum((0, 2, 3))
            square += v.square().sum((0, 2, 3))
        mean = total / count
        std = (square / count - mean.square()).clamp(min=1e-8).sqrt()
        rounded = [tuple(round(float(s), 4) for s in values) for values in (mean, std)]
        return ImageSpec(self.pixels.shape[1], self.pixels.shape[2], rounded[0], rounded[1])

    def to(self, device: torch.device | str) -> Images:
        """The same images with pixels and labels on `device`."""
        labels = None if self.labels is None else self.labels.to(device)
        attributes = {k: v.to(device) for k, v in self.attributes.items()}
        return replace(self, pixels=self.pixels.to(device), labels=labels, attributes=attributes)

    def batch(self, indices: Tensor) -> Tensor:
        """The pixels uint8 [n, C, H, W] of images by their indices int64 [n], which are on the CPU."""
        if self.pixels.device.type == "cuda":
            indices = indices.pin_memory()  # from pageable memory the copy waits for all that the GPU has to do
        return self.pixels[indices.to(self.pixels.device, non_blocking=True)]

    def content_hash(self) -> str:
        """SHA-256 over shape, pixels and labels: the same on every machine."""
        digest = hashlib.sha256(repr(tuple(self.pixels.shape)).encode())
        digest.update(self.pixels.cpu().contiguous().numpy().data)
        if self.labels is not None:
            digest.update(self.labels.cpu().contiguous().numpy().data)
        return digest.hexdigest()


def refuse_gaps(classes: int, labels: int, where: str) -> None:
    """Raise DataError for labels so large that most of the classes that they count can have no image."""
    if classes > max(1000, labels):
        raise DataError(
            f"{where}: labels go up to {classes - 1:,}, and there are {labels:,} of them; number classes 0, 1, 2, ..."
        )


def to_float(pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """x = (v + u) / 256, u ~ U[0, 1): uint8 -> float32 in [0, 1). Without a generator u = 1/2, the middle."""
    if generator is None:
        return (pixels.float() + 0.5) / 256
    u = torch.rand(pixels.shape, generator=generator, device=pixels.device)
    # beside 255 float32 has 16 binary places: a larger u would round v + u up to v + 1
    return (pixels + u.clamp(max=1 - 2**-16)) / 256


def to_uint8(x: Tensor) -> Tensor:
    """v = floor(256 x) clamped to [0, 255]: floats -> uint8. Exact inverse of to_float."""
    return (x * 256).floor().clamp(0, 255).to(torch.uint8)


def refuse_pixels(images: Tensor) -> None:
    """Raise DataError for images of whole numbers, of which an energy would be another quantity."""
    if not images.is_floating_point():
        raise DataError(f"energies are of images in [0, 1], given {images.dtype}: to_float(pixels) makes them of uint8")


def refuse_large_batch(batch: int, n: int) -> None:
    """Raise DataError where a batch is larger than the data set of n images."""
    if batch > n:
        raise DataError(
            f"a batch of {batch} images was asked of a data set of {n}; lower batch_size (--config.batch-size)"
        )


def batch_indices(n: int, batch: int, iteration: int, seed: int) -> Tensor:
    """Indices int64 [batch] of iteration t: epochs of floor(n / batch) batches, each epoch its own permutation.

    A function of (seed, t) alone, so that a resumed run sees the batches it would have seen.

    Raises:
        DataError: a batch larger than the data set.
    """
    refuse_large_batch(batch, n)
    epoch, position = divmod(iteration, n // batch)
    permutation = _permutation(n, seed, epoch)
    return permutation[position * batch : (position + 1) * batch]


_last: tuple[tuple[int, int, int], Tensor] | None = None


def _permutation(n: int, seed: int, epoch: int) -> Tensor:
    global _last  # one epoch's permutation is kept: 50,000 indices take longer to permute than a small step
    if _last is None or _last[0] != (n, seed, epoch):
        _last = ((n, seed, epoch), torch.randperm(n, generator=stream("cpu", seed, "epoch", epoch)))
    return _last[1]
