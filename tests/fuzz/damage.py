"""Damaged files: data sets and statistics in every format that is read, and the folders of trained runs."""

from __future__ import annotations

import io
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from baselines import METHODS
from clel.commands.cli import main
from clel.data import load
from clel.runs.config import Run
from experiments.runs.external import load_external
from tests.fuzz.judge import Try, ended

JUNK = (
    b"",
    b"\0" * 40,
    b"\xff\xfe\x80junk",
    b"{",
    b"[1, 2",
    b'{"a": NaN}',
    b"null",
    b"PK\x03\x04",
    "ü,ß\n".encode("cp1252"),
)


def damaged(data: bytes, draw: random.Random) -> tuple[str, bytes]:
    """One way in which a file goes wrong, in words, and the file."""
    at = draw.randrange(len(data) + 1)
    kind = draw.choice(("cut", "replaced", "extended", "flipped", "zeroed", "doubled", "inserted"))
    junk = draw.choice(JUNK)
    if kind == "cut":
        return f"cut at {at}", data[:at]
    if kind == "replaced":
        return f"replaced by {junk!r}", junk
    if kind == "extended":
        return f"with {junk!r} behind it", data + junk
    if kind == "flipped" and data:
        at %= len(data)
        return f"bit flipped at {at}", data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
    if kind == "zeroed":
        return f"zeros from {at}", data[:at] + b"\0" * (len(data) - at)
    if kind == "doubled":
        return "twice", data + data
    return f"with {junk!r} at {at}", data[:at] + junk + data[at:]


def files(draw: random.Random, place: Path) -> Iterator[Try]:
    """A data file of each format, damaged, read by every reader that would take it."""
    whole = _written(place / "whole")
    while True:
        name = draw.choice(sorted(whole))
        words, data = damaged(whole[name], draw)
        path = place / "tried" / name

        def read(name: str = name, path: Path = path, data: bytes = data) -> str | None:
            shutil.rmtree(path.parent, ignore_errors=True)
            path.parent.mkdir()
            path.write_bytes(data)
            if name.endswith(".csv"):
                found = ended(lambda: load_external(path) and 0)
                return None if found.crash.startswith("ConfigError") else found.short
            calls: tuple[list[str], ...] = (["fid", str(path), "digits:test"], ["fid", "digits:test", f"{path}"])
            for call in calls:
                given = [*call, "--features", "classifier", "--device", "cpu", "--bootstrap", "0"]
                if short := ended(lambda given=given: main(given, METHODS)).short:
                    return short
            return None

        yield f"{name} {words}", read


def folders(
    draw: random.Random, place: Path, runs: dict[str, tuple[Run, Path]], train: Callable[..., int]
) -> Iterator[Try]:
    """A finished run's folder with one file damaged or gone: it is sampled, measured, shown and trained again."""
    while True:
        name = draw.choice(sorted(runs))
        run, whole = runs[name]
        file = draw.choice(sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file()))
        words, data = damaged((whole / file).read_bytes(), draw) if draw.random() < 0.9 else ("gone", None)
        what = draw.choice(("sample", "evaluate", "fid", "train"))

        def use(
            run: Run = run, whole: Path = whole, file: Path = file, data: bytes | None = data, what: str = what
        ) -> str | None:
            folder = place / "damaged" / whole.name
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(whole, folder)
            if data is None:
                (folder / file).unlink()
            else:
                (folder / file).write_bytes(data)
            given = {
                "sample": ["sample", str(folder), "--n", "4", "--steps", "1", "--out", str(place / "x.png")],
                "evaluate": ["evaluate", str(folder), "--samples", "70", "--steps", "1"],
                "fid": ["fid", str(folder), "digits:test", "--features", "classifier", "--bootstrap", "0"],
            }
            if what == "train":
                return ended(lambda: train(run, folder)).short
            return ended(lambda: main([*given[what], "--device", "cpu"], METHODS)).short

        yield f"{name}: {file} {words}, then {what}", use


def _written(place: Path) -> dict[str, bytes]:
    """Small images in each format that is read, and a table of samples by others."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    pixels = load("digits", "test").pixels[:80, 0].numpy()
    labels = np.arange(80) % 2
    np.save(place / "x.npy", pixels)
    np.savez(place / "x.npz", images=pixels, labels=labels)
    np.savez_compressed(place / "packed.npz", images=pixels, labels=labels)
    np.savez(place / "statistics.npz", mu=np.zeros(64), sigma=np.eye(64))
    torch.save(torch.from_numpy(pixels), place / "x.pt")
    torch.save({"mu": torch.zeros(64), "sigma": torch.eye(64)}, place / "statistics.pt")
    with zipfile.ZipFile(place / "x.zip", "w") as zipped, tarfile.open(place / "x.tar.gz", "w:gz") as rolled:
        for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            data = io.BytesIO()
            Image.fromarray(image).save(data, "PNG")
            zipped.writestr(f"{label}/{number}.png", data.getvalue())
            entry = tarfile.TarInfo(f"{label}/{number}.png")
            entry.size = len(data.getvalue())
            rolled.addfile(entry, io.BytesIO(data.getvalue()))
    head = "title,dataset,samples,source,sha256,published\n"
    (place / "x.csv").write_text(head + "theirs,digits,x.npy,a paper,,\n")
    return {path.name: path.read_bytes() for path in place.iterdir()}
