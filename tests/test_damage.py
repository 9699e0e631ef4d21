"""Files of a run that are damaged: the file is named, what is lost, and what to do; and that is what then helps."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clel.commands import cli
from clel.commands.cli import main
from clel.machine.signals import interrupt_on_stops
from clel.storage import atomic
from clel.storage.atomic import write_atomically
from clel.storage.lock import look
from clel.storage.log import read_log
from tests.small_run import SMALL

pytestmark = pytest.mark.filterwarnings("always::UserWarning")  # shown as the command shows them
GARBAGE = b"\x00\xff garbage"


Said = Callable[..., str]


@pytest.fixture
def said(run: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """What a command on the run says, which is to end with this exit status."""

    def command(name: str, status: int) -> str:
        capsys.readouterr()
        arguments = {"train": ["clel", "--out", str(run), *SMALL], "sample": [str(run), "--n", "2", "--out"]}
        arguments["sample"].append(str(run / "out.npy"))
        assert (
            main([name, *arguments.get(name, [str(run)]), *([] if name == "train" else ["--device", "cpu"])]) == status
        )
        errors = capsys.readouterr().err
        assert "Traceback" not in errors
        return errors

    return command


def lose_record(run: Path) -> None:
    (run / "record.json").unlink()


def test_a_damaged_training_json(run: Path, said: Said) -> None:
    before = json.loads((run / "record.json").read_text())
    lose_record(run)
    (run / "training.json").write_bytes(GARBAGE)
    error = said("train", 2)
    assert f"{run}/training.json: damaged" in error and "no weights are lost" in error and "remove it" in error
    (run / "training.json").unlink()
    said("train", 0)
    after = json.loads((run / "record.json").read_text())
    assert after["metrics"] == before["metrics"] and after["training"]["iterations"] == 3


@pytest.mark.parametrize("command", ["train", "sample", "evaluate"])
def test_a_damaged_config_json(run: Path, said: Said, command: str) -> None:
    before = (run / "config.json").read_bytes()
    (run / "config.json").write_bytes(GARBAGE)
    error = said(command, 2)
    assert f"{run}/config.json: damaged" in error and f"clel train with the same options and --out {run}" in error
    if command == "train":
        (run / "config.json").unlink()
        said("train", 0)
        assert (run / "config.json").read_bytes() == before


def test_another_runs_folder_without_its_config_json(run: Path, said: Said) -> None:
    (run / "config.json").unlink()
    record = json.loads((run / "record.json").read_text())
    write_atomically(run / "record.json", json.dumps(record | {"hash": "0" * 8}))
    assert "holds another run's record" in said("train", 2)


@pytest.mark.parametrize("cut", [True, False])
def test_all_checkpoints_damaged_after_training(run: Path, said: Said, cut: bool) -> None:
    before = json.loads((run / "record.json").read_text())
    for path in (run / "checkpoints").glob("*.pt"):
        path.write_bytes(path.read_bytes()[:-9] if cut else b"x" + path.read_bytes())
    error = said("sample", 2)
    assert "no readable checkpoint, each of the" in error and "the trained weights are lost" in error
    assert f"remove training.json and record.json in {run}" in error
    for name in ("training.json", "record.json"):
        (run / name).unlink()
    assert "damaged" in said("train", 0)
    assert json.loads((run / "record.json").read_text())["metrics"] == before["metrics"]
    said("sample", 0)


def test_no_checkpoint_before_the_end_of_training(run: Path, said: Said) -> None:
    shutil.rmtree(run / "checkpoints")
    assert "remove training.json and record.json" in said("evaluate", 2)
    (run / "training.json").unlink()
    assert "no readable checkpoint; train the run first" in said("evaluate", 2)


def test_a_damaged_evaluation(run: Path, said: Said) -> None:
    before = json.loads((run / "record.json").read_text())
    place = run / before["evaluations"]["fresh"]["folder"]
    lose_record(run)
    (place / "evaluation.json").write_bytes(GARBAGE)
    error = said("train", 2)
    assert f"{place}/evaluation.json: damaged" in error and f"remove {place}" in error
    shutil.rmtree(place)
    said("train", 0)
    assert json.loads((run / "record.json").read_text())["metrics"] == before["metrics"]


def test_a_damaged_record_is_made_again(run: Path, said: Said) -> None:
    (run / "record.json").write_bytes(GARBAGE)
    said("train", 0)
    assert json.loads((run / "record.json").read_text())["status"] == "ok"


def test_a_log_that_a_kill_has_cut_and_one_that_is_damaged(tmp_path: Path) -> None:
    lines = [json.dumps({"kind": "train", "iteration": number, "loss": 0.1}) for number in (1, 2, 3)]
    path, whole = tmp_path / "log.jsonl", "\n".join(lines) + "\n"
    assert read_log(tmp_path) == []
    for end in ("", lines[0][:9], "\x00" * 40):
        path.write_text(whole + end)
        assert [line["iteration"] for line in read_log(tmp_path)] == [1, 2, 3]
    for wrong in (b"garbage", b"\xff\xfe", b'{"iteration": 2}', b"7", b'{"kind": "train", "iteration": null}'):
        path.write_bytes(lines[0].encode() + b"\n" + wrong + b"\n" + lines[2].encode() + b"\n")
        with pytest.warns(UserWarning, match=r"log\.jsonl, line 2: damaged.*nothing else is lost"):
            assert [line["iteration"] for line in read_log(tmp_path)] == [1, 3]


def test_a_training_goes_on_over_a_damaged_log(run: Path, said: Said) -> None:
    lose_record(run)
    (run / "training.json").unlink()
    with open(run / "log.jsonl", "ab") as file:
        file.write(b'{"iteration": 3}\n{"kind": "tra')
    n = len((run / "log.jsonl").read_bytes().splitlines())
    assert f"{run}/log.jsonl, line {n - 1}: damaged" in (error := said("train", 0)) and f"line {n}:" not in error
    assert read_log(run)[-1]["iteration"] == 3


@pytest.mark.parametrize("full", ["log.jsonl", "training.json", "samples.npy", "checkpoints"])
def test_a_full_disk_names_the_file_and_what_stands(
    full: str, run: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command goes on once there is room."""
    before = json.loads((run / "record.json").read_text())
    for name in ("record.json", "training.json", "checkpoints", "evaluations"):
        shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
    opened = open

    def no_room(path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if full in str(path) and mode in ("wb", "a"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, mode, *rest, **more)

    with monkeypatch.context() as patch:
        for module in ("clel.storage.atomic", "clel.storage.log"):
            patch.setattr(f"{module}.open", no_room, raising=False)
        error = said("train", 2)
    assert full in error and "No space left on device; " in error and "make room and do the same again" in error
    assert not list(run.rglob("*.tmp"))
    said("train", 0)
    assert json.loads((run / "record.json").read_text())["metrics"] == before["metrics"]


@pytest.mark.parametrize("command", ["train", "evaluate", "sample", "stats"])
def test_room_is_looked_at_before_the_work(
    command: str, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "room_in", lambda folder: 100)
    for name in ("clel.sampling.fresh._batch", "clel.training.trainer.Trainer.step", "clel.features.reference.Moments"):
        monkeypatch.setattr(name, None)
    arguments = {"train": ["clel", "--out", str(run / "new"), *SMALL], "evaluate": [str(run), "--seed", "5"]}
    arguments["sample"] = [str(run), "--out", str(run / "out.npy")]
    arguments["stats"] = ["digits", "--features", "classifier", "--out", str(run / "stats.npz")]
    assert main([command, *arguments[command], *([] if command == "train" else ["--device", "cpu"])]) == 2
    assert "and 0 kB are free there; make room" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_sigterm_while_measuring_releases_the_locks_with_one_line(
    command: str, run: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / "record.json").unlink()
    shutil.rmtree(run / "evaluations")

    def asked(*_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    before = {stop: signal.getsignal(stop) for stop in (signal.SIGTERM, signal.SIGUSR2)}
    monkeypatch.setattr("clel.sampling.fresh._batch", asked)
    try:
        interrupt_on_stops()
        error = said(command, 143)
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)
    assert error.endswith(f"\ninterrupted; {cli.KEPT[command]}\n")
    assert not look(run).held
    assert not any(look(place).held for place in (run / "evaluations").iterdir())


def test_an_output_whose_disk_is_full(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    monkeypatch.setitem(cli.COMMANDS, "fid", lambda rest, methods: print("numbers") or 0)
    with open(full, "w") as output:
        monkeypatch.setattr("sys.stdout", output)
        assert main(["fid"]) == 2
        with contextlib.suppress(OSError):
            output.close()
    assert "No space left on device; nothing else is lost, make room" in (error := capsys.readouterr().err)
    assert "standard output" in error
