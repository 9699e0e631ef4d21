"""The held-out split of data that comes without one."""

from __future__ import annotations

import torch
from torch import Tensor

from clel.random import stream


def held_out(labels: Tensor) -> Tensor:
    """The fixed split of data that comes without one: bool [N], True where the image is held out.

    Of the n_c images of class c, in the order given, floor(n_c / 10) are held out, but at least one where n_c > 1;
    which ones is a permutation by the stream (0, "held out", c). Folders give images in the order of file names.
    """
    mask = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().flatten()
        count = max(len(members) // 10, 1 if len(members) > 1 else 0)
        order = torch.randperm(len(members), generator=stream("cpu", 0, "held out", label))
        mask[members[order[:count]]] = True
    return mask
