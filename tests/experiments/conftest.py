"""A store made up for the tests of tables and figures: cells, records, logs and samples with known numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clel.runs.record import write_record


def is_short(page: str, columns: int = 7) -> bool:
    """Whether every table of a page is one for reading: few columns, and at most four footnotes below."""
    lines = page.splitlines()
    heads = [above for above, line in pairwise(lines) if line.startswith("| :--")]
    notes = sum(line.startswith("- <sup>") for line in lines)
    return bool(heads) and all(head.count("|") <= columns + 1 for head in heads) and notes <= 4


@dataclass(frozen=True)
class FakeCell:
    row: str
    title: str
    seed: int = 0
    published: str | None = None
    dataset: str = "digits"
    profile: str = "quick"
    evaluate: Any = None
    note: str = ""

    @property
    def run_name(self) -> str:
        return f"{self.row.replace(':', '_')}-{self.dataset}-s{self.seed}-0a1b2c3d"


class FakeStore:
    """Writes run directories under `runs_dir`."""

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir

    def cells(self, row: str, title: str, seeds: int = 1, **more: Any) -> list[FakeCell]:
        return [FakeCell(row, title, seed, **more) for seed in range(seeds)]

    def record(
        self, cell: FakeCell, distance: float | None = 3.0, trained: bool = True, **changes: Any
    ) -> dict[str, Any]:
        metrics = {"fid_fresh": distance, "kid_fresh": 2.0, "precision_fresh": 0.9, "recall_fresh": 0.8}
        metrics |= {"classes_fresh": 10, "fid_buffer": 1.5 if trained else None}
        training: dict[str, Any] = {"parameters": 57345, "iterations": 1200, "images": 76800, "seconds": 200.0}
        training |= {"gradient_evaluations": 1536000, "divergences": 1}
        training |= {"peak_memory_bytes": 612_000_000, "peak_memory_kind": "process rss"}
        protocol = {"features": f"classifier-v1 ({cell.dataset})", "features_identity": "f00d", "n_real": 1347}
        provenance = {"git_sha": "0123456789abcdef", "git_dirty": False, "device": "cpu", "command": "make table1"}
        record = {"schema": 2, "name": cell.run_name, "method": cell.row, "preset": "quick", "dataset": cell.dataset}
        record |= {"seed": cell.seed, "profile": cell.profile, "hash": "0a1b2c3d", "config": {}, "status": "ok"}
        record |= {"reason": None, "metrics": metrics, "protocol": protocol, "provenance": provenance}
        record |= {"evaluations": {"fresh": {"folder": "evaluations/clean", "protocol": protocol}}}
        return record | {"training": training if trained else None} | changes

    def write(self, cell: FakeCell, distance: float | None = 3.0, **more: Any) -> Path:
        run_dir = self.runs_dir / cell.run_name
        run_dir.mkdir(parents=True, exist_ok=True)
        write_record(run_dir, self.record(cell, distance, **more))
        return run_dir

    def log(self, cell: FakeCell, points: Sequence[tuple[float, float]]) -> None:
        """(seconds, distance) at every evaluation, with a training line at each as well."""
        lines: list[dict[str, Any]] = []
        for step, (seconds, distance) in enumerate(points):
            train = {"iteration": step, "energy_positive": 0.1, "energy_negative": 0.1 + 1 / (1 + step)}
            lines += [{"kind": "train", **train}]
            lines += [{"kind": "evaluation", "iteration": step, "seconds": seconds, "fid_fresh": distance}]
        (self.runs_dir / cell.run_name / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def samples(self, cell: FakeCell, channels: int = 1, size: int = 8) -> None:
        images = np.random.default_rng(cell.seed).integers(0, 256, (64, channels, size, size), dtype=np.uint8)
        folder = self.runs_dir / cell.run_name / "evaluations/clean"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "samples.npy", images)


@pytest.fixture
def fake(tmp_path: Path) -> FakeStore:
    return FakeStore(tmp_path / "runs")


@pytest.fixture
def grid(fake: FakeStore) -> list[FakeCell]:
    """Two references, a row with one missing seed, one with a diverged seed, one whole, one that failed wholly."""
    noise, real = fake.cells("noise", "Uniform noise"), fake.cells("real", "Held-out real images")
    first, second = fake.cells("a", "Method A", 3, published="igebm"), fake.cells("b", "B & C_1", 3, published="plain")
    third, fourth = fake.cells("c:large", "Method C", 3, published="clel-base"), fake.cells("d", "Method D", 3)
    fake.write(noise[0], 98.7, trained=False)
    fake.write(real[0], 0.4, trained=False)
    for cells, distances in ((first, (9.0, 11.0)), (second, (5.0, None, 7.0)), (third, (2.0, 3.0, 4.0))):
        for cell, distance in zip(cells, distances, strict=False):
            if distance is None:
                fake.write(cell, status="diverged", reason="E | gap_* > 50% & <β>", metrics={})
            else:
                fake.write(cell, distance)
            fake.log(cell, [(0.0, 60.0), (100.0, 20.0), (200.0 + cell.seed, distance or 30.0)])
            fake.samples(cell)
    for cell in fourth:
        fake.write(cell, status="oom", reason="out of memory", metrics={}, training=None)
    fake.samples(noise[0])
    fake.samples(real[0])
    return noise + real + first + second + third + fourth
