"""What is taken home from a borrowed card: one folder of small files, whatever the runs came to.

PACK/pack.json                     what was asked, on which device
     runs/<run>/config.json, log.jsonl, training.json (where training came to its end), drawn.json,
                buffer.png, weights-<k>.pt (float16), samples-<k>.npz (`images`, uint8 [N, C, H, W])
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clel.storage.atomic import naming_damage, write_atomically
from experiments.borrowed.child import BUFFER, DRAWN, FOLDER, WEIGHTS, Drawn, read_drawn

NAME = "pack.json"
LARGEST = 14 * 10**6
"""Bytes of a file, at most."""
CHUNK = 3 * 10**6
"""Bytes of the images of one file, before they are compressed."""
LOGS = ("config.json", "log.jsonl", "training.json")


def pack(folder: Path, runs: Sequence[Path], about: dict[str, Any], most: int) -> dict[str, int]:
    """Write the pack and return how many samples of each run it has: of all equally many, as far as `most` bytes go.

    A run that came to nothing has its log and configuration alone.
    """
    shutil.rmtree(folder, ignore_errors=True)
    drawn: dict[str, Drawn] = {}
    for run in runs:
        place = folder / "runs" / run.name
        place.mkdir(parents=True)
        for path in [*(run / name for name in LOGS), run / FOLDER / BUFFER]:
            if path.exists():
                write_atomically(place / path.name, path.read_bytes())
        if (run / FOLDER / WEIGHTS).exists():
            save_weights(torch.load(run / FOLDER / WEIGHTS, weights_only=True), place)
        if (run / FOLDER / DRAWN).exists():
            drawn[run.name] = read_drawn(run / FOLDER)
    there = [run for run in runs if run.name in drawn and drawn[run.name].samples]
    taken = pack_samples(folder, there, min((drawn[run.name].samples for run in there), default=0), most)
    for name, one in drawn.items():
        one.packed = min(one.samples, taken)
        one.write(folder / "runs" / name)
    counts = {run.name: taken if run in there else 0 for run in runs}
    write_atomically(folder / NAME, json.dumps(about | {"samples": counts}, indent=1) + "\n")
    return counts


def pack_samples(folder: Path, runs: Sequence[Path], n: int, most: int) -> int:
    """The first n images of each run in files of CHUNK, or fewer: a file of all of them, or of none."""
    images = {run.name: images_of(run) for run in runs}
    taken = number = 0
    while taken < n:
        size = min(n - taken, max(1, CHUNK // images[runs[0].name][0].nbytes))
        files = {name: compressed(x[taken : taken + size]) for name, x in images.items()}
        if bytes_in(folder) + sum(map(len, files.values())) > most:
            break
        for name, data in files.items():
            write_atomically(folder / "runs" / name / f"samples-{number:02d}.npz", data)
        taken, number = taken + size, number + 1
    return taken


def images_of(run: Path) -> Any:
    """All that a run drew, uint8 [N, C, H, W]."""
    paths = sorted((run / FOLDER).glob("samples-*.npy"))
    return np.concatenate([_held(path, "remove it to pack the others") for path in paths])


def packed_samples(place: Path) -> Tensor:
    """The packed samples of a run, uint8 [N, C, H, W]."""
    paths = sorted(place.glob("samples-*.npz"))
    return torch.from_numpy(np.concatenate([_held(path, "take the pack home once more")["images"] for path in paths]))


def _held(path: Path, remedy: str) -> Any:
    """What a file of arrays holds, all of it read."""
    with naming_damage(path, remedy):
        held = np.load(path)
        return dict(held) if path.suffix == ".npz" else held


def save_weights(weights: dict[str, Tensor], place: Path) -> None:
    """Into files of at most LARGEST bytes, as far as single tensors allow."""
    parts: list[dict[str, Tensor]] = [{}]
    for name, tensor in weights.items():
        if parts[-1] and sum(t.nbytes for t in parts[-1].values()) + tensor.nbytes > LARGEST:
            parts.append({})
        parts[-1][name] = tensor
    for number, part in enumerate(parts):
        memory = io.BytesIO()
        torch.save(part, memory)
        write_atomically(place / f"weights-{number}.pt", memory.getvalue())


def compressed(images: Any) -> bytes:
    """The array as an .npz."""
    memory = io.BytesIO()
    np.savez_compressed(memory, images=images)
    return memory.getvalue()


def bytes_in(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
