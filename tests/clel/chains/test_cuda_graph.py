"""Recorded chains with a recorder that only counts: the same samples, in memory that does not move."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from clel.chains.cuda_graph import KEPT, Recordings
from clel.chains.energy import Energy
from clel.chains.langevin import LangevinConfig, langevin

CONFIG = LangevinConfig(steps=7, step_size=0.1, noise=0.05)


ENERGY = Energy(lambda x: (x - 0.4).square().sum((1, 2, 3)))


def recorded(
    recordings: Recordings, x: Tensor, config: LangevinConfig, generator: torch.Generator, steps: int, length: int
) -> Tensor:
    """Langevin chains with a block of `length` steps."""
    block = recordings.steps(ENERGY, x, config, length)
    return langevin(ENERGY, x, config, generator, steps, block=block)


class Recorder:
    """Runs `work` once while recording, as a capture does, and again at every replay."""

    def __init__(self) -> None:
        self.records = self.replays = 0

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        self.records += 1
        work()

        def replay() -> None:
            self.replays += 1
            work()

        return replay


def start() -> Tensor:
    return torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("config", [CONFIG, LangevinConfig(7, 0.1, 0.05, 0.01, True), LangevinConfig(7, 0.1, 0.0)])
@pytest.mark.parametrize("chunk", [1, 3, 7, 10])
def test_same_chains(config: LangevinConfig, chunk: int) -> None:
    """Steps left over included; x is left alone; the generator ends in the same state."""
    recorder = Recorder()
    recordings, x, generator, other = Recordings(recorder), start(), seeded(), seeded()
    expected = langevin(ENERGY, x, config, other)
    for repeat in (1, 2):
        torch.testing.assert_close(recorded(recordings, x, config, generator, 7, chunk), expected)
        assert torch.equal(generator.get_state(), other.get_state())
        assert torch.equal(x, start())
        assert (recorder.records, recorder.replays) == (1, repeat * (7 // chunk))
        generator = seeded()


def test_another_shape_is_another_recording() -> None:
    recorder = Recorder()
    recordings = Recordings(recorder)
    for n in (3, 2, 3):
        assert recorded(recordings, start()[:n], CONFIG, seeded(), 4, 2).shape[0] == n
    assert recorder.records == 2


def test_a_failed_recording_is_said_and_done_without() -> None:
    def fail(work: Callable[[], None]) -> Callable[[], None]:
        raise RuntimeError("operation not permitted when stream is capturing")

    recordings = Recordings(fail)
    with pytest.warns(RuntimeWarning, match="step by step.*not permitted"):
        x = recorded(recordings, start(), CONFIG, seeded(), 7, 3)
    torch.testing.assert_close(x, langevin(ENERGY, start(), CONFIG, seeded()))


def test_too_little_memory_is_not_taken_for_a_failed_recording() -> None:
    """Whoever samples halves the batch then; chains step by step would need as much."""

    def fail(work: Callable[[], None]) -> Callable[[], None]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        recorded(Recordings(fail), start(), CONFIG, seeded(), 7, 3)


def test_few_recordings_are_kept_and_none_copied() -> None:
    recorder = Recorder()
    recordings = Recordings(recorder)
    for n in range(1, KEPT + 3):
        recorded(recordings, torch.rand(n, 1, 4, 4), CONFIG, seeded(), 4, 2)
    assert len(recordings.known) == KEPT
    copied = copy.deepcopy(recordings)
    assert not copied.known and copied.record is recorder


def test_what_was_used_last_is_kept() -> None:
    """Training's shape outlives any number of samplers' that come one after the other."""
    recorder = Recorder()
    recordings = Recordings(recorder)
    for n in range(2, 2 * KEPT):
        recorded(recordings, start(), CONFIG, seeded(), 7, 3)
        recorded(recordings, torch.rand(n + 10, 1, 4, 4), CONFIG, seeded(), 7, 3)
    assert recorder.records == 1 + len(range(2, 2 * KEPT)) and len(recordings.known) == KEPT
