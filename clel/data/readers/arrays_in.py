"""Arrays that other people's code wrote, as uint8 images: which axis is which, and what the values mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clel.config import choose
from clel.data.images import DataError, to_uint8
from clel.data.readers.streamed import Samples

LAYOUTS = {"CHW": 1, "HWC": 3}
"""The channel axis of an array with four axes, by the name of its layout."""

PIECE = 1 << 24
"""Bytes of an array that are held at a time, or else one image."""

_ACCEPTED = "accepted: uint8, floats in [0, 1], bool, or other integers in 0..255"


@dataclass(frozen=True)
class Array:
    """An array on disk.

    Attributes:
        where: file and key, for messages.
        shape, dtype: of the whole array.
        rows: the array from the first image to the last, in writable pieces of `step(shape, dtype)` images.
    """

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype
    rows: Callable[[], Iterator[np.ndarray]]

    def __str__(self) -> str:
        return f"{self.where} is {self.dtype} {list(self.shape)}"


def step(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Number of images in PIECE bytes, at least 1."""
    return max(1, PIECE // max(1, math.prod(shape[1:]) * dtype.itemsize))


def array_samples(array: Array, name: str, source: str, layout: str | None = None) -> Samples:
    """The images of an array [N, C, H, W], [N, H, W, C] or [N, H, W] with C in {1, 3}.

    The channel axis is the one of size 1 or 3. Values: uint8 v; floats x in [0, 1], v = floor(256 x), at most 255; bool
    b, v = 255 b; integers in 0..255. The range is checked over the whole array, piece by piece, before this returns.

    Args:
        layout: "CHW" or "HWC" says which axis the channels are.

    Raises:
        DataError: another or an ambiguous shape, another type, no image, a value that is not finite or out of range.
        ConfigError: an unknown layout.
    """
    shape, first, notes = _axes(array, layout)
    convert, more = _values(array)

    def pieces() -> Iterator[Tensor]:
        for rows in array.rows():
            yield convert(np.ascontiguousarray(first(rows)))

    return Samples(name, source, array.shape[0], shape, (*notes, *more), pieces)


def _axes(
    array: Array, layout: str | None
) -> tuple[tuple[int, int, int], Callable[[np.ndarray], np.ndarray], tuple[str, ...]]:
    """(C, H, W), the function that brings rows to [m, C, H, W], and what to say of it."""
    shape = array.shape
    channel_axis = None if layout is None else choose(LAYOUTS, layout, "layout")
    if len(shape) == 3 and shape[2] not in (1, 3) and 0 not in shape:
        if layout is not None:
            raise DataError(f"{array}: it has no axis of channels, so that the layout {layout} does not fit it")
        _, height, width = shape
        return (1, height, width), lambda rows: rows[:, None], ("no channel axis: grey",)
    if len(shape) != 4 or 0 in shape:
        raise DataError(
            f"{array}; accepted: images [N, C, H, W], [N, H, W, C] or grey [N, H, W], with C = 1 or 3 and N > 0; "
            "reshape it (one image too needs its first axis)"
        )
    axes = [axis for axis in (1, 3) if shape[axis] in (1, 3)]
    if channel_axis is not None and channel_axis not in axes:
        raise DataError(f"{array}: as {layout} it has {shape[channel_axis]} channels; accepted: 1 or 3")
    if not axes:
        extra = " If the fourth channel is alpha, and opaque, leave it out." if 4 in (shape[1], shape[3]) else ""
        raise DataError(f"{array}: neither axis 1 nor the last has the size 1 or 3, so none is the channels.{extra}")
    if channel_axis is None and len(axes) == 2:
        raise DataError(
            f"{array}: the channels may be axis 1 or the last; say which by the layout CHW or HWC (on a command line "
            "write :CHW or :HWC after the file's name)"
        )
    _, a, b, c = shape
    if (axes[0] if channel_axis is None else channel_axis) == 1:
        return (a, b, c), lambda rows: rows, ()
    return (c, a, b), lambda rows: np.moveaxis(rows, 3, 1), ("channels last: moved to the front",)


def _values(array: Array) -> tuple[Callable[[np.ndarray], Tensor], tuple[str, ...]]:
    """The function that turns rows into uint8, and what to say of it."""
    kind = array.dtype.kind
    if array.dtype == np.uint8:
        # stops at the first piece of an ordinary file; all black is what a collapsed model makes, and no mistake
        at_most_1 = all(int(rows.max()) <= 1 for rows in array.rows())
        bits = at_most_1 and any(int(rows.max()) == 1 for rows in array.rows())
        note = ("every value is 0 or 1, of 255: if this means black and white, store it as bool",) if bits else ()
        return torch.from_numpy, note
    if kind == "b":
        return lambda rows: torch.from_numpy(rows.astype(np.uint8) * np.uint8(255)), ("bool: False is 0, True is 255",)
    if kind in "iu":
        _check_integers(array)
        return lambda rows: torch.from_numpy(rows.astype(np.uint8)), (f"{array.dtype} in 0..255: to uint8",)
    if kind == "f" and array.dtype.itemsize < 4:
        raise DataError(f"{array}: too coarse to tell 256 levels apart; store uint8, or float32 before it is rounded")
    if kind == "f" and array.dtype.itemsize <= 8:
        _check_floats(array)
        note = (f"{array.dtype} in [0, 1]: floor(256 x), at most 255",)
        return lambda rows: to_uint8(torch.from_numpy(rows.astype(rows.dtype.newbyteorder("=")))), note
    raise DataError(f"{array}; {_ACCEPTED}; store it as uint8")


def _check_integers(array: Array) -> None:
    low, high = _range(array)
    if low < 0 or high > 255:
        bits = " If they have 16 bits, divide by 257, round and store uint8." if 255 < high < 65536 and low >= 0 else ""
        raise DataError(f"{array}, with values from {low} to {high}; {_ACCEPTED}; scale it to 0..255.{bits}")
    if high == 1:
        raise DataError(f"{array}, and every value is 0 or 1; {_ACCEPTED}; if this means black and white, store bool")


def _check_floats(array: Array) -> None:
    count, first = _not_finite(array)
    if count:
        raise DataError(
            f"{array}: {count} of {math.prod(array.shape)} values are NaN or infinite, the first at {first}; "
            "accepted: finite floats in [0, 1]; find out why the model made them, or leave out these images"
        )
    low, high = _range(array)
    if low >= 0 and high <= 1:
        return
    if -1 <= low < 0 and high <= 1:
        advice = "if the range is [-1, 1], store (x + 1) / 2; if it is [0, 1] but for rounding, clip it"
    elif low >= 0 and high > 2 and high <= 255:
        advice = "if the range is [0, 255], round and store uint8"
    elif low >= -0.1 and high <= 1.1:
        advice = "it leaves [0, 1] a little: if the model's range is [0, 1], clip it"
    else:
        advice = "scale it to [0, 1] by the model's own convention"
    raise DataError(f"{array}, with values from {low:g} to {high:g}; {_ACCEPTED}; {advice}")


def _range(array: Array) -> tuple[float, float]:
    """Smallest and largest value, as Python numbers of the array's kind."""
    ends = [(rows.min().item(), rows.max().item()) for rows in array.rows()]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _not_finite(array: Array) -> tuple[int, list[int]]:
    """How many values are NaN or infinite, and the index of the first in the array as it is stored."""
    count, start, first = 0, 0, []
    for rows in array.rows():
        bad = ~np.isfinite(rows)
        found = int(np.count_nonzero(bad))
        if found and not count:
            inside = np.unravel_index(int(bad.argmax()), bad.shape)
            first = [start + int(inside[0]), *(int(i) for i in inside[1:])]
        count, start = count + found, start + len(rows)
    return count, first
