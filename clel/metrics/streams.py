"""Streams of features: cut where a metric needs it, whatever the size of their chunks; and checks of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor

from clel.data import DataError


def segments(chunks: Iterable[Tensor], ends: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """(i, rows) in order, where the rows lie in segment i: from row ends[i - 1] (0 for i = 0) up to row ends[i].

    Args:
        chunks: tensors [N_i, ...], ends[-1] rows in all.
        ends: increasing, and positive.

    Raises:
        DataError: the stream has fewer or more rows.
    """
    position, i = 0, 0
    for chunk in chunks:
        while len(chunk):
            if i == len(ends):
                raise DataError(f"the stream has more than the {ends[-1]} images that were announced")
            rows, chunk = chunk[: ends[i] - position], chunk[ends[i] - position :]
            yield i, rows
            position += len(rows)
            if position == ends[i]:
                i += 1
    if i < len(ends):
        raise DataError(f"the stream ended after {position} images; {ends[-1]} were announced")


def refuse_other_widths(first: Tensor, second: Tensor) -> None:
    """Raise DataError unless both are features [N, D] of one D."""
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise DataError(
            f"features are [N, D] and [M, D], of one feature space; given {list(first.shape)} and {list(second.shape)}"
        )


__all__ = ["refuse_other_widths", "segments"]
