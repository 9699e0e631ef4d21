"""Local launching: which cells are finished, who gets which GPU, what a changed data set does."""

from __future__ import annotations

import json
import os
import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from baselines import METHODS
from clel.config import ConfigError, to_dict
from clel.data import DataError, Images
from clel.runs.record import blank_record, write_record
from clel.storage import log
from clel.storage.lock import Busy, locked
from experiments.cli import main
from experiments.plan import plan
from experiments.speed.records import write_records
from experiments.sweep import launch, launching, local
from experiments.sweep.estimate import Estimate
from experiments.sweep.grid import PROFILES, table1_cells
from experiments.sweep.store import load_records
from experiments.table1 import command as table1
from experiments.table1.command import refuse_other_settings


@pytest.mark.parametrize(
    ("device", "mask", "expected"),
    [
        ("cpu", None, []),
        ("cuda", None, ["0", "1"]),
        ("cuda", "2,3", ["2", "3"]),
        ("cuda", "GPU-aa", ["GPU-aa"]),
        ("cuda:1", "2,3", []),
    ],
)
def test_gpus_are_those_that_the_process_may_use(
    device: str, mask: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if mask:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    assert local.visible_gpus(torch.device(device)) == expected


def test_runs_that_share_a_gpu_each_have_a_place_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpu, one = torch.device("cuda"), torch.device("cuda:1")
    assert local.worker_places(gpu, None, None) == (None, ["0", "1"])
    workers, gpus = local.worker_places(gpu, None, 3)
    # the first two runs have a GPU each, and twelve runs are six at a time
    assert gpus == ["0", "1"] * 3 and local.shares(12, workers, gpus)[0] == 6
    assert local.worker_places(one, None, 3) == (3, []) and local.worker_places(one, 2, 3) == (2, [])
    with pytest.raises(ConfigError, match="the device is cpu; WORKERS says"):
        local.worker_places(torch.device("cpu"), None, 2)


def test_a_plan_knows_what_runs_side_by_side_get_done(tmp_path: Path) -> None:
    assert plan.slowed(1, tmp_path, "small") == (1.0, "")
    assert plan.slowed(4, tmp_path, "small")[0] == 4.0 and "SIDE_BY_SIDE=1" in plan.slowed(4, tmp_path, "small")[1]
    rates = [("plain", 1, 10.0), ("plain", 4, 20.0), ("clel", 1, 8.0), ("clel", 4, 24.0), ("clel", 8, None)]
    beside = [{"row": row, "runs": n, "rate": rate, "reason": ""} for row, n, rate in rates]
    gpu = {"gpu": torch.cuda.get_device_properties(0).name} if torch.cuda.is_available() else {}
    tables: dict = {name: {} for name in ("options", "provenance", "load", "measurements")}
    write_records(tmp_path / "small-x", {**tables, "machine": gpu, "side_by_side": beside})
    slower, said = plan.slowed(4, tmp_path, "small")
    assert slower == pytest.approx(4 / 2.5) and "4 on a GPU do 2.50 times what one does" in said


def test_runs_that_other_processes_have_are_left_to_them_and_have_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = table1_cells("smoke", rows=["plain", "igebm"], device="cpu")
    held, overtaken, _, own = (tmp_path / cell.run_name for cell in cells)
    locks = ExitStack()

    class Process:
        """Of experiments.runs.cell, which finds that somebody was faster where it is not `own`."""

        def __init__(self, command: list[str], **options: object) -> None:
            folder = Path(command[-1])
            assert folder != held
            if folder == overtaken:
                locks.enter_context(locked(folder))
            else:
                (folder / "done").touch()
            self.returncode = 0 if folder == own else 75

        def poll(self) -> int:
            return self.returncode

    monkeypatch.setattr(local.subprocess, "Popen", Process)
    for module in (local, launch):
        monkeypatch.setattr(module, "has_result", lambda cell, runs: (runs / cell.run_name / "done").exists())
    with locks, locked(held), pytest.raises(Busy) as raised:
        local.run_local(cells, tmp_path, workers=1)
    left = re.fullmatch(r"of 4 runs other processes have 2: (.*), (.*)\. All else is done, .*", str(raised.value))
    assert left is not None and set(left.groups()) == {held.name, overtaken.name}
    said = capsys.readouterr().err
    assert {held.name, overtaken.name} == set(
        re.findall(f"(.*): being trained elsewhere, by process {os.getpid()}", said)
    )
    assert f"{own.name}: no record" in said and said.count("no record") == 1
    # the others have ended since
    for folder in (held, overtaken):
        (folder / "done").touch()
    assert local.run_local(cells, tmp_path, workers=1) == 0


def test_runs_that_other_processes_let_go_of_are_taken_up_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = table1_cells("smoke", rows=["plain"], device="cpu")
    let_go_of, other = (tmp_path / cell.run_name for cell in cells[:2])
    holder, begun = ExitStack(), []
    holder.enter_context(locked(let_go_of))

    class Process:
        """Of a cell: the first one sees the holder of the other run leave, and one run is never to be had."""

        def __init__(self, command: list[str], **options: object) -> None:
            begun.append(Path(command[-1]))
            holder.close()
            self.returncode = 75 if begun[-1] == other else 0

        def poll(self) -> int:
            return self.returncode

    monkeypatch.setattr(local.subprocess, "Popen", Process)
    with pytest.raises(Busy, match=f"other processes have 3: |{other.name}"):
        local.run_local(cells, tmp_path, workers=1)
    assert begun.count(let_go_of) == 1 and begun.count(other) == 2


def test_a_table_is_not_replaced_while_others_train_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(table1, "prepare", lambda cells, runs, device, table: None)
    arguments = ["table1", "--profile", "smoke", "--methods", "plain", "--out", str(tmp_path)]
    cells = table1_cells("smoke", rows=["plain"])
    page = tmp_path / "smoke-plain/table1.md"
    with ExitStack() as locks:
        for cell in cells:
            locks.enter_context(locked(tmp_path / "runs" / cell.run_name))
        assert main(arguments) == 75 and not page.exists()
        page.write_text("a fuller one")
        for cluster in launching.CLUSTERS[:2]:
            assert main([*arguments, "--cluster", cluster]) == 75
            said = capsys.readouterr().err
            assert "no table was written" in said and "failed" not in said and page.read_text() == "a fuller one"
        (run,) = load_records(tmp_path / "runs", [cells[-1].run_name]).values()
        assert (run.status, run.reason) == ("unfinished", "a process is at work on it")


def test_progress_counts_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cell,) = (cell for cell in table1_cells("smoke", rows=["plain"]) if cell.row == "plain")
    worker = local.Worker(cell, None, 0.0, 0)  # type: ignore[arg-type]
    local._show([worker], 2, 3, tmp_path)
    assert "runs 2/6 done | plain-digits-s0 0/4" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": 1, "status": "ok"}'])
def test_a_damaged_record_is_no_finished_run(text: str, tmp_path: Path) -> None:
    cell = table1_cells("smoke")[0]
    (tmp_path / cell.run_name).mkdir()
    (tmp_path / cell.run_name / "record.json").write_text(text)
    assert not launch.has_result(cell, tmp_path)


def test_longest_first() -> None:
    cells = {cell.row: cell for cell in table1_cells("quick")}
    assert launch.cost(cells["clel"]) > launch.cost(cells["plain"]) > launch.cost(cells["noise"])


@pytest.mark.parametrize("profile", PROFILES)
def test_all_rows_of_a_profile_have_one_number_of_samples(profile: str) -> None:
    """The Frechet distance is biased in it."""
    assert len({cell.run.evaluate.samples for cell in table1_cells(profile, dataset="digits")}) == 1


def test_changed_data_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = table1_cells("smoke")[0]
    images = Images(torch.zeros(4, 1, 8, 8, dtype=torch.uint8))
    monkeypatch.setattr(launch, "load", lambda name, split: images)
    monkeypatch.setattr(launch, "reference_of", lambda evaluate, train, held_out: SimpleNamespace(images="new"))
    launch.prepare([cell], tmp_path, "cpu", tmp_path / "table")
    record = {"schema": 2, "name": cell.run_name, "method": "noise", "preset": "reference", "dataset": cell.dataset}
    record |= {"seed": 0, "hash": "0", "status": "ok", "reason": None, "config": {}, "metrics": {}, "training": {}}
    record |= {"provenance": {}, "protocol": {"reference_images": "old"}, "evaluations": {}}
    (tmp_path / cell.run_name).mkdir()
    (tmp_path / cell.run_name / "record.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match="not those that"):
        launch.prepare([cell], tmp_path, "cpu", tmp_path / "table")


def test_methods_have_rows() -> None:
    assert set(METHODS) <= {cell.row for cell in table1_cells("quick")}


def test_a_report_does_not_replace_a_table_by_dashes(tmp_path: Path) -> None:
    """Runs that are there, but were measured in another way than the variables of `make report` ask."""
    cells = [cell for cell in table1_cells("smoke") if cell.row in METHODS][:3]
    with pytest.raises(ConfigError, match="no run of this table has a result"):
        refuse_other_settings(cells, tmp_path)
    for cell, changes in zip(cells, ({}, {"sampling_seeds": 2}, {}), strict=True):
        evaluate = to_dict(replace(cell.run.evaluate, **changes))
        record = blank_record(cell.run_name, cell.run, method=cell.row, preset="quick", dataset="digits", seed=0)
        record |= {"status": "ok", "config": record["config"] | {"evaluate": evaluate}}
        write_record(tmp_path / cell.run_name, record)
    with pytest.raises(ConfigError, match=f"1 of 3 runs .* such as {cells[1].run_name}"):
        refuse_other_settings(cells, tmp_path)
    refuse_other_settings([cells[0], cells[2]], tmp_path)


@pytest.mark.parametrize(("asked", "gpus", "threads"), [(1, 0, 6), (2, 0, 3), (None, 0, 2), (None, 2, 3), (9, 0, 2)])
def test_a_plan_is_measured_with_the_threads_of_a_run(
    asked: int | None, gpus: int, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six cores for three runs: shared out as the workers will have them, and given back."""
    monkeypatch.setattr(local, "available_cores", lambda: 6)
    monkeypatch.setattr(local, "visible_gpus", lambda device: [str(k) for k in range(gpus)])
    seen = []
    monkeypatch.setattr(
        plan, "estimate", lambda run, spec: (seen.append(torch.get_num_threads()), Estimate(150, 1, 4))[1]
    )
    before = torch.get_num_threads()
    cells = [cell for cell in table1_cells("smoke", 3, rows=["plain"]) if cell.row.startswith("plain")]
    text = plan.describe_plan(cells, tmp_path, asked)
    assert len(cells) == 3
    assert seen == [threads] and torch.get_num_threads() == before
    assert f"on {threads} threads, as each run will have" in text
    assert "7 min 30 s of work" in text and f"about {log.duration(450 * threads / 6)} with" in text


def test_the_plan_of_this_machine_says_what_does_not_fit_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "estimate", lambda run, spec: Estimate(1.0, 5_000_000_000, 4))
    cells = table1_cells("smoke", rows=["plain"])
    for there, fits in ((4_000_000_000, False), (6_000_000_000, True)):
        monkeypatch.setattr(plan, "memory_of", lambda device, there=there: there)
        (line,) = [row for row in plan.describe_plan(cells, tmp_path, 1).splitlines() if row.startswith("plain")]
        assert ("DOES NOT FIT: 4 GB are there" in line) != fits


def test_a_plan_says_which_data_set_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "estimate", lambda run, spec: Estimate(1.0, 5_000_000, 4))
    text = plan.describe_plan(table1_cells("smoke", rows=["plain"], dataset=str(tmp_path / "no.npz")), tmp_path, 1)
    assert f"MISSING: no such data set: looked for {tmp_path}/no.npz" in text and "planned as images in colour" in text
    assert "MISSING" not in plan.describe_plan(table1_cells("smoke", rows=["plain"]), tmp_path, 1)
