"""Which number format a device multiplies, and which one the engine `fast` takes there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from clel.machine import processor
from clel.machine.processor import cpu_flags, faster_in_bfloat16, multiplies_bfloat16, prefers_bfloat16

CPU = torch.device("cpu")


def test_flags(tmp_path: Path) -> None:
    x86, arm = tmp_path / "x86", tmp_path / "arm"
    x86.write_text("processor : 0\nflags\t: fpu avx512_bf16\n\nprocessor : 1\nflags\t: other\n")
    arm.write_text("processor : 0\nFeatures\t: fp asimd bf16\n")
    assert cpu_flags(x86) == {"fpu", "avx512_bf16"}
    assert cpu_flags(arm) == {"fp", "asimd", "bf16"}
    assert cpu_flags(tmp_path / "missing") == frozenset()


class Clock:
    """Goes on by as much as a convolution of a number format is said to take."""

    def __init__(self, seconds: dict[torch.dtype, float]) -> None:
        self.seconds, self.now = seconds, 0.0

    def read(self) -> float:
        return self.now

    def convolve(self, x: torch.Tensor, *rest: object, **options: int) -> None:
        assert torch.get_num_threads() == 1
        self.now += self.seconds[x.dtype]


@pytest.mark.parametrize(
    ("flags", "native", "preferred"),
    [
        ({"amx_tile", "amx_bf16", "avx512_bf16"}, True, True),
        ({"avx512_bf16"}, True, None),
        ({"asimd", "bf16"}, True, None),
        ({"avx512f", "bf16x"}, False, False),
        (set(), False, False),
    ],
)
@pytest.mark.parametrize("timed", [True, False])
def test_bfloat16_on_a_cpu(
    flags: set[str], native: bool, preferred: bool | None, timed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where flags leave it open, None above, what was timed decides."""
    monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(processor, "faster_in_bfloat16", lambda: timed)
    assert multiplies_bfloat16(CPU) == native
    assert prefers_bfloat16(CPU) == (timed if preferred is None else preferred)


@pytest.mark.parametrize(("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bfloat16_on_a_gpu(capability: tuple[int, int], native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    gpu = torch.device("cuda")
    assert multiplies_bfloat16(gpu) == prefers_bfloat16(gpu) == native


def test_the_shorter_time_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of the test's own, on which bfloat16 takes twice or half of float32's time; threads are put back."""
    threads = torch.get_num_threads()
    for seconds, faster in (
        ({torch.float32: 1.0, torch.bfloat16: 2.0}, False),
        ({torch.float32: 2.0, torch.bfloat16: 1.0}, True),
    ):
        clock = Clock(seconds)
        monkeypatch.setattr(processor.F, "conv2d", clock.convolve)
        monkeypatch.setattr(processor.time, "perf_counter", clock.read)
        assert faster_in_bfloat16.__wrapped__() == faster
        monkeypatch.undo()
    assert torch.get_num_threads() == threads
    faster_in_bfloat16()
    hits = faster_in_bfloat16.cache_info().hits
    faster_in_bfloat16()
    assert faster_in_bfloat16.cache_info().hits == hits + 1  # timed once a process
