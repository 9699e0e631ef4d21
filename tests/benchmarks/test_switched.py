"""That benchmarks of switches measure what they say: in turn, in pieces, with the settings in one of two processes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from baselines.plain import PlainEBM
from clel.methods.clel import CLEL
from clel.networks.pieces import InPieces
from tests.benchmarks.switched import Bench, alternate, build
from tests.benchmarks.test_engine_switches import pieces
from tests.benchmarks.worker import Worker


class Pedantic:
    """pytest-benchmark's fixture, as far as it is used: the calls it makes are its rounds."""

    def __init__(self, log: list[str]) -> None:
        self.log, self.extra_info = log, dict[str, Any]()

    def pedantic(
        self, target: Callable[[], object], setup: Callable[[], None], rounds: int, warmup_rounds: int
    ) -> None:
        for number in range(warmup_rounds + rounds):
            setup()
            self.log.append(f"round {number - warmup_rounds}")
            target()


def test_rounds_of_the_benchmark_are_those_that_alternate() -> None:
    """So that they see the same disturbances as the others, and are as many as a range needs."""
    log: list[str] = []
    fixture = Pedantic(log)
    used = {"off": 0.0, "on": 0.0}

    def call(name: str) -> None:
        log.append(name)
        used[name] += 3 if name == "off" else 1

    calls: dict[str, Callable[[], object]] = {"off": lambda: call("off"), "on": lambda: call("on")}
    alternate(Bench(fixture, 15), calls, 4, {name: lambda n=name: used[n] for name in used})  # type: ignore[misc]
    assert log == [word for k in range(-1, 4) for word in ("off", f"round {k}", "on")]
    assert fixture.extra_info["alternated"] == ["off", "on"] and fixture.extra_info["cpu_ratio"] == 3
    assert fixture.extra_info["off_cpu_ms"] == 3000 and fixture.extra_info["ratio"] > 0

    for asked, rounds in ((3, 3), (2, 3), (1, 1)):
        log.clear()
        alternate(Bench(fixture, asked), calls, 4)
        assert len([word for word in log if word == "round 0"]) == 1
        assert log[-2] == f"round {rounds - 1}"


@pytest.mark.parametrize("kind", [CLEL, PlainEBM])
@pytest.mark.parametrize("full", [True, False])
def test_training_in_pieces_is_measured(kind: Any, full: bool) -> None:
    """At 3x32x32 and, where it only has to run, at 1x8x8: on, the batch really is cut, and off it is not."""
    off, on = (build(full, s, kind, 0) for s in pieces(full))
    assert on.spec.shape == ((3, 32, 32) if full else (1, 8, 8))
    network = on.trained_network()
    assert isinstance(network, InPieces) and network.images < on.config.batch_size
    assert off.trained_network() is off.network


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_a_worker_has_the_settings_only_if_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the benchmarks, which have them, does not reach the one without."""
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "1")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000000")
    worker = Worker(False, "chain", False)
    try:
        worker.wait()
        with open(f"/proc/{worker.process.pid}/environ") as file:
            environment = file.read()
        assert "THP_MEM_ALLOC_ENABLE" not in environment and "MALLOC_" not in environment
        before = worker.seconds  # its start is not the first round's
        worker.once()
        assert worker.seconds > before > 0 and worker.peak > 50
    finally:
        worker.close()
