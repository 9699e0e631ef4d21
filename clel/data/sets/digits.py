"""The handwritten digits inside scikit-learn: 1,797 real 8x8 grey images, no download.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998 (its test part).
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clel.data.images import Images
from clel.random import stream

HELD_OUT = 45
"""Held-out images a class: 450 in all; 1,347 remain to train on."""


def load_digits(split: str) -> Images:
    """The split "train" (1,347 images) or "test" (450, 45 of each class) of digits, as uint8 [N, 1, 8, 8].

    scikit-learn has intensities v in 0..16; here round(255 v / 16). It has no split of its own, so each class's images
    are permuted by a fixed generator and its first 45 are held out.
    """
    pixels, labels = _bundled()
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for digit in range(10):
        members = (labels == digit).nonzero().flatten()
        order = torch.randperm(len(members), generator=stream("cpu", 0, "digits", digit))
        held_out[members[order[:HELD_OUT]]] = True
    chosen = held_out if split == "test" else ~held_out
    return Images(pixels[chosen], labels[chosen], "digits", split, tuple(str(d) for d in range(10)))


@cache
def _bundled() -> tuple[Tensor, Tensor]:
    """All images and labels, read once a process from scikit-learn's text: lines of 64 intensities and a label.

    Importing scikit-learn, with SciPy behind it, takes a second of each process, the text 6 ms.
    """
    package = find_spec("sklearn")
    places = package.submodule_search_locations if package is not None else None
    text = Path((places or [""])[0], "datasets", "data", "digits.csv.gz")
    lines = np.loadtxt(text, delimiter=",") if text.is_file() else _as_scikit_learn_has_them()
    values = torch.from_numpy(lines).to(torch.int64)
    pixels = (values[:, :-1].double() * 255 / 16).round().to(torch.uint8).reshape(-1, 1, 8, 8)
    return pixels, values[:, -1].clone()


def _as_scikit_learn_has_them() -> np.ndarray:
    from sklearn.datasets import load_digits as bundled

    data = bundled()
    return np.column_stack([data.data, data.target])
