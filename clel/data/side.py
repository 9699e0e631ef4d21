"""Images at a smaller side: "cifar10@16" is the data set cifar10 at 16x16, each pixel the mean over a square."""

from __future__ import annotations

import re
from dataclasses import replace

import torch
from torch.nn.functional import avg_pool2d

from clel.data.images import DataError, Images

MARK = "@"


def split_side(name: str) -> tuple[str, int | None]:
    """("cifar10", 16) of "cifar10@16"; ("cifar10", None) of "cifar10"."""
    found = re.fullmatch(rf"(.+){MARK}(\d+)", name, re.DOTALL)
    return (found[1], int(found[2])) if found else (name, None)


def at_side(name: str, side: int | None) -> str:
    """The data set's name at this side; as it is where it has one already, or where none is asked for."""
    return name if side is None or split_side(name)[1] is not None else f"{name}{MARK}{side}"


def averaged(images: Images, side: int) -> Images:
    """RGB images uint8 [N, 3, S, S] -> [N, 3, s, s]: the mean over squares of S / s pixels, rounded (a half to even).

    Raises:
        DataError: grey images, or a side that is no power of two from 2 to S.
    """
    own = images.pixels.shape[2]
    if images.pixels.shape[1] != 3:
        raise DataError(f"{images.name}{MARK}{side}: only RGB images have another side, and these are grey")
    if side < 2 or side & (side - 1) or own % side:
        sides = [str(2**k) for k in range(1, own.bit_length()) if own % 2**k == 0]
        accepted = f"the side is a power of two that divides {own}: {', '.join(sides) or 'there is none'}"
        raise DataError(f"{images.name}{MARK}{side}: {accepted}")
    # in pieces: floats of a whole split would take four times its memory
    parts = [avg_pool2d(p.float(), own // side).round().to(torch.uint8) for p in images.pixels.split(4096)]
    return replace(images, pixels=torch.cat(parts), name=f"{images.name}{MARK}{side}")
