"""Distances of every rung in one feature space: made once, kept in the cache, and taken up where they were left."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from clel.features.chunks import features_of
from clel.features.pretrained_space import PretrainedSpace
from clel.metrics import Moments, frechet_distance, kernel_distance
from clel.random import stream
from clel.storage.atomic import drop_unfinished, read_json, write_atomically
from clel.storage.cache import cache_root
from clel.storage.lock import locked
from clel.storage.provenance import provenance
from experiments.features.ladders import Rung

CHUNK = 128
"""Images whose features are kept together: what an interruption costs at most."""


def distances(
    reference: Tensor, rungs: Mapping[Rung, Tensor], space: PretrainedSpace, seed: int, name: str
) -> dict[str, Any]:
    """{"rows": a row a rung, with its Frechet and kernel distance to the reference images, "provenance": of them}.

    An image that several rungs share goes through the network once.
    """
    pixels = torch.cat([reference, *rungs.values()])
    different, place = pixels.flatten(1).unique(dim=0, return_inverse=True)
    different = different.reshape(-1, *pixels.shape[1:])
    origin = provenance(space.device)
    folder = cache_root() / "ladders" / _key(pixels, list(rungs), space, seed)
    done = folder / "rows.json"
    with locked(folder):
        drop_unfinished(folder / "features", alone=True)
        if not done.exists():
            parts = folder / "features"
            found = features_of(different.split(CHUNK), len(different), space, parts, name)
            features = torch.cat(list(found.features()))
            made = {"rows": _rows(features, place, len(reference), list(rungs), seed), "provenance": origin}
            write_atomically(done, json.dumps(made, indent=1) + "\n")
            shutil.rmtree(parts)
        return read_json(done, f"remove {folder}, and the same command measures it again", ("rows", "provenance"))  # type: ignore[no-any-return]


def _rows(features: Tensor, place: Tensor, n: int, rungs: list[Rung], seed: int) -> list[dict[str, Any]]:
    real, *others = (features[part].double() for part in place.split(n))
    gaussian = Moments.over([real]).gaussian
    rows = []
    for (ladder, strength), rows_of in zip(rungs, others, strict=True):
        kid, _ = kernel_distance(real, rows_of, stream("cpu", seed, "kid"), n, subsets=1)  # of all images at once
        distance = frechet_distance(Moments.over([rows_of]).gaussian, gaussian)
        rows.append({"ladder": ladder, "strength": strength, "distance": distance, "kid": kid, "images": n})
    return rows


def _key(pixels: Tensor, rungs: list[Rung], space: PretrainedSpace, seed: int) -> str:
    content = hashlib.sha256(pixels.numpy().tobytes()).hexdigest()
    return hashlib.sha256(repr((content, rungs, space.identity, seed)).encode()).hexdigest()[:16]
