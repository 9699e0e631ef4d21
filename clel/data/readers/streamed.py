"""Image sets of any size, read in chunks: what samples are whatever kind of file they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from clel.config import require
from clel.data.images import DataError


@dataclass(frozen=True)
class Samples:
    """Images that are read when they are asked for, in a fixed order.

    Attributes:
        name: what they are called in print.
        source: the path as given, or "name/split" of a data set.
        n: number of images.
        shape: (C, H, W) with C in {1, 3}.
        conversions: one sentence for each thing done to the files' content, or left out of it.
        pieces: the images again at each call, uint8 [m, C, H, W] with any m.
    """

    name: str
    source: str
    n: int
    shape: tuple[int, int, int]
    conversions: tuple[str, ...]
    pieces: Callable[[], Iterator[Tensor]] = field(repr=False)

    def chunks(self, size: int = 1000) -> Iterator[Tensor]:
        """uint8 [size, C, H, W] each, the last one with what is left; one chunk is held at a time.

        Raises:
            DataError: a file that is damaged, or was changed since it was opened.
            ConfigError: a size below 1.
        """
        require(size >= 1, f"chunks of {size} images; expected at least 1")
        chunk, filled, left = torch.empty(0), 0, self.n
        for piece in self.pieces():
            if len(piece) > left:
                raise self._changed()
            left -= len(piece)
            while len(piece):
                if filled == 0:
                    chunk = torch.empty((min(size, left + len(piece)), *self.shape), dtype=torch.uint8)
                taken = piece[: len(chunk) - filled]
                chunk[filled : filled + len(taken)] = taken
                filled, piece = filled + len(taken), piece[len(taken) :]
                if filled == len(chunk):
                    yield chunk
                    filled = 0
        if left:
            raise self._changed()

    def content_hash(self) -> str:
        """SHA-256 over shape [N, C, H, W] and pixels in order, as of Images without labels: the same for any format."""
        digest = hashlib.sha256(repr((self.n, *self.shape)).encode())
        for chunk in self.chunks(256):
            digest.update(chunk.numpy().data)
        return digest.hexdigest()

    def repeats(self) -> int:
        """How many images are exact repeats of one before them."""
        seen: set[bytes] = set()
        for chunk in self.chunks(256):
            seen.update(hashlib.blake2b(image.numpy().data, digest_size=16).digest() for image in chunk)
        return self.n - len(seen)

    def _changed(self) -> DataError:
        return DataError(f"{self.source}: has another number of images than when it was opened; let its writer finish")
