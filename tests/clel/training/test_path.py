"""Through how many files one iteration of CLEL passes: what a reader who follows it has to open."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from clel import CLEL, Images, TrainConfig
from clel.training.trainer import Trainer

ROOT = Path(__file__).parents[3] / "clel"


@pytest.mark.parametrize(("engine", "most"), [("exact", 12), ("fast", 16)])
def test_an_iteration_passes_through_few_files(engine: str, most: int, tmp_path: Path) -> None:
    images = Images(torch.randint(0, 256, (256, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator()))
    config = replace(CLEL.recipe("quick").config, engine=engine)
    trainer = Trainer(CLEL.build(config, images.spec), images, TrainConfig(iterations=9, checkpoint_every=9), tmp_path)
    trainer.step()  # what is made once is made
    seen: set[str] = set()

    def note(frame: Any, event: str, _: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and ROOT in path.parents:
            seen.add(str(path.relative_to(ROOT)))

    sys.setprofile(note)
    try:
        trainer.step()
    finally:
        sys.setprofile(None)
    assert {"training/trainer.py", "methods/clel.py", "chains/langevin.py"} <= seen
    assert len(seen) <= most, sorted(seen)
