"""Features of images in chunks, held in memory or in files, so that metrics can pass over them more than once."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clel.data import DataError
from clel.features.space import FeatureSpace
from clel.storage.atomic import naming_damage, write_atomically
from clel.storage.log import progress

ROWS = 10_000
"""Rows kept of a set of features for metrics that compare images pair by pair, whose cost grows with their square."""

Chunk = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class ChunkedFeatures:
    """Features [N, D] and class probabilities [N, K] of N images, chunk by chunk; `parts` gives each chunk anew."""

    parts: tuple[Callable[[], Chunk], ...]
    n: int

    def features(self) -> Iterator[Tensor]:
        """Chunks [m, D], in order."""
        return (part()[0] for part in self.parts)

    def probabilities(self) -> Iterator[Tensor]:
        """Chunks [m, K], in order."""
        return (part()[1] for part in self.parts)

    def rows(self) -> Tensor:
        """All features, or, of more than ROWS, every (N / ROWS)-th: [<= ROWS, D]."""
        kept = EvenRows(self.n)
        for chunk in self.features():
            kept.show(chunk)
        return kept.rows()


class EvenRows:
    """Collects all of n rows that are shown chunk by chunk, or, of more than `most`, `most` at equal distances."""

    def __init__(self, n: int, most: int = ROWS) -> None:
        self.wanted = torch.linspace(0, n - 1, min(n, most), dtype=torch.float64).long()
        self.kept: list[Tensor] = []
        self.seen = 0

    def show(self, chunk: Tensor) -> None:
        """Take what is wanted of the next rows [m, D]."""
        inside = self.wanted[(self.wanted >= self.seen) & (self.wanted < self.seen + len(chunk))] - self.seen
        self.kept.append(chunk[inside])
        self.seen += len(chunk)

    def rows(self) -> Tensor:
        """[<= most, D]."""
        return torch.cat(self.kept)


def features_of(
    pixels: Iterable[Tensor], n: int, space: FeatureSpace, folder: Path | None = None, name: str = ""
) -> ChunkedFeatures:
    """Features of n uint8 images [m, C, H, W] that come in chunks.

    folder: where the chunks' features are kept instead of memory; those that are there already are not made again.
    name: what a progress line is called; none without.
    """
    parts: list[Callable[[], Chunk]] = []
    done = 0
    with progress(name, n, unit="image") as shown:
        for number, chunk in enumerate(pixels):
            path = None if folder is None else folder / f"features-{number:06d}.npz"
            parts.append(_held(space(chunk)) if path is None else _filed(path, chunk, space))
            done += len(chunk)
            shown.update(len(chunk))
    if done != n:
        raise DataError(f"{done} images came where {n} were announced: files that another process changed?")
    return ChunkedFeatures(tuple(parts), done)


def _held(chunk: Chunk) -> Callable[[], Chunk]:
    return lambda: chunk


def _filed(path: Path, chunk: Tensor, space: FeatureSpace) -> Callable[[], Chunk]:
    if not path.exists():
        features, probabilities = space(chunk)
        memory = io.BytesIO()
        np.savez(memory, features=features.numpy(), probabilities=probabilities.numpy())
        write_atomically(path, memory.getvalue())

    def read() -> Chunk:
        damaged = naming_damage(path, "remove it, and the same command makes these features again")
        with damaged, np.load(path) as file:
            return torch.from_numpy(file["features"]), torch.from_numpy(file["probabilities"])

    return read
