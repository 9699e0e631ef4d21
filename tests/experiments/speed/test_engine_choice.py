"""ENGINE=...: which runs of a table it changes, where that table goes, and what is refused at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from baselines import METHODS
from clel.chains.switches import Engine
from clel.config import ConfigError, differences
from clel.runs.config import Run, check_engine, engines, resolve, with_engine
from experiments.cli import main
from experiments.speed.command import SpeedMemory
from experiments.speed.command import main as speed_main
from experiments.sweep.grid import table1_cells
from experiments.sweep.naming import table_name
from experiments.table1.command import Table1, cells_of, command, restored, stored
from experiments.variables import arguments

QUICK = {name: resolve(METHODS, name, "quick") for name in METHODS}


@pytest.mark.parametrize("engine", [*get_args(Engine)])
def test_every_method_that_has_the_engine_gets_it_and_nothing_else_changes(engine: str) -> None:
    before, after = table1_cells("quick", seeds=2), table1_cells("quick", seeds=2, engine=engine)
    assert [(c.row, c.title, c.seed) for c in before] == [(c.row, c.title, c.seed) for c in after]
    assert {c.row for c in after if isinstance(c.run, Run) and engines(c.run)} >= {"clel", "plain", "igebm"}
    for old, new in zip(before, after, strict=True):
        if isinstance(old.run, Run) and engine in engines(old.run):
            assert new.run.config.engine == engine  # type: ignore[union-attr]
            own = old.run.config.engine
            assert differences(old.run, new.run) == ([] if own == engine else [f"config.engine: {own} -> {engine}"])
            assert (old.run_name == new.run_name) == (own == engine)
        else:
            assert old == new


def test_a_method_without_that_engine_keeps_its_own() -> None:
    chosen = {name: with_engine(run, "exact") for name, run in QUICK.items()}
    kept = {name for name, run in chosen.items() if run == QUICK[name]}
    assert {"vae", "drl"} <= kept and "clel" not in kept
    assert engines(QUICK["vae"]) == () and engines(QUICK["drl"]) == ("float32", "bfloat16")


@pytest.mark.parametrize(
    ("methods", "engine", "message"),
    [
        ("clel,vae", "exat", "unknown engine 'exat'; did you mean 'exact'"),
        ("clel", "fsat", "unknown engine of clel 'fsat'; did you mean 'fast'"),
        ("drl", "fast", "known: bfloat16, float32"),
        ("vae", "fast", "none to choose for vae"),
    ],
)
def test_what_no_method_has_is_refused(methods: str, engine: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_engine([QUICK[name] for name in methods.split(",")], engine)
    with pytest.raises(ConfigError, match=message):
        table1_cells("quick", rows=methods.split(","), engine=engine)


def test_its_table_has_a_folder_and_a_command_of_its_own(tmp_path: Path) -> None:
    options = Table1(seeds=3, engine="exact")
    assert table_name(options) == "quick-3-seeds-exact"
    assert command(options) == "make table1 SEEDS=3 ENGINE=exact"
    some = Table1(methods="clel", engine="exact", protocols="clean,paper")
    assert table_name(some) == "quick-clel-clean-paper-exact"
    kept: dict[str, Any] = json.loads(json.dumps(stored(options)))
    again = restored(kept, Path("results"))
    assert [c.run_name for c in cells_of(again)] == [c.run_name for c in cells_of(options)]
    before = restored({name: value for name, value in kept.items() if name != "engine"}, tmp_path)
    assert before.engine is None  # a sweep that was submitted when there was no such option


@pytest.mark.parametrize("cluster", ["local", "slurm"])
def test_a_misspelt_one_is_told_at_once(cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out"), "--cluster", cluster]
    for command_line in (["table1", "--engine", "exat", *out], ["table1", "--engine", "exat", "--plan", *out]):
        assert main(command_line) == 2
        assert "did you mean 'exact'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_speed_and_memory_refuse_it_as_well(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'exact'"):
        speed_main(SpeedMemory("smoke", engine="exat", out=tmp_path))
    assert not list(tmp_path.iterdir())


def test_make_hands_it_on() -> None:
    given = arguments("table1", {"ENGINE": "exact", "CLUSTER": "slurm", "PLAN": "1", "SEEDS": "3"})
    assert given[given.index("--engine") + 1] == "exact" and given[given.index("--cluster") + 1] == "slurm"
    assert "--plan" in given
