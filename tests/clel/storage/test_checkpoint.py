"""Checkpoint files: atomic, verified, the right ones kept; nothing but tensors and plain containers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from clel.storage import checkpoint
from clel.storage.atomic import write_atomically
from clel.storage.checkpoint import CheckpointError


def iterations(folder: Path) -> list[int]:
    return [i for i, _ in checkpoint.listed(folder)]


def test_round_trip_and_what_is_kept(tmp_path: Path) -> None:
    for i in (0, 10, 20, 23, 30):
        checkpoint.save(tmp_path, i, {"x": torch.tensor([float(i)]), "n": i}, keep=2, every=10)
    assert iterations(tmp_path) == [20, 30]
    checkpoint.save(tmp_path, 33, {"n": 33}, keep=2, every=10)
    assert iterations(tmp_path) == [20, 30, 33]
    found = checkpoint.latest(tmp_path)
    assert found == (33, {"n": 33})
    scheduled = checkpoint.latest(tmp_path, multiple_of=10)
    assert scheduled is not None and scheduled[1]["x"].item() == 30


def test_going_back_drops_the_abandoned_future(tmp_path: Path) -> None:
    for i in (10, 20, 25):
        checkpoint.save(tmp_path, i, {"n": i}, every=10)
    checkpoint.save(tmp_path, 22, {"n": 22}, every=10)
    assert iterations(tmp_path) == [10, 20, 22]


def test_saving_an_iteration_again_replaces_it(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 10, {"n": 1}, every=10)
    checkpoint.save(tmp_path, 10, {"n": 2}, every=10)
    assert [checkpoint.load_checkpoint(p)["n"] for _, p in checkpoint.listed(tmp_path)] == [2]


@pytest.mark.parametrize("damage", ["truncated", "one bit", "empty"])
def test_damage_is_noticed_and_passed_over(tmp_path: Path, damage: str) -> None:
    checkpoint.save(tmp_path, 1, {"n": 1})
    path = checkpoint.save(tmp_path, 2, {"n": 2})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"truncated": bytes(data[:-1]), "one bit": bytes(data), "empty": b""}[damage])
    with pytest.raises(CheckpointError, match=path.name):
        checkpoint.load_checkpoint(path)
    with pytest.warns(UserWarning, match="the checkpoint before it"):
        assert checkpoint.latest(tmp_path) == (1, {"n": 1})


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(tmp_path / "owned"),))

    path = checkpoint.save(tmp_path, 1, {"evil": Evil()})
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        checkpoint.load_checkpoint(path)
    assert not (tmp_path / "owned").exists()


def _write_for_ever(path: Path) -> None:
    for i in range(10**9):
        write_atomically(path, bytes([i % 256]) * 500_000)


def test_a_kill_while_writing_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"\0" * 500_000)
    context = multiprocessing.get_context("forkserver")
    for pause in (0.3, 0.05, 0.11):
        process = context.Process(target=_write_for_ever, args=(path,))
        process.start()
        while path.read_bytes()[:1] == b"\0" and process.is_alive():
            time.sleep(0.01)
        time.sleep(pause)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        data = path.read_bytes()
        assert len(data) == 500_000 and len(set(data)) == 1
        path.write_bytes(b"\0" * 500_000)
