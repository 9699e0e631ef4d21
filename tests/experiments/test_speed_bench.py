"""Benchmarks stay out of the tests; a baseline compares on its machine alone, with noise in sight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clel.config import ConfigError
from clel.run import choose_device
from experiments.speed import bench
from experiments.speed.bench import Bench, comparison, main
from experiments.speed.machine import machine

ROOT = Path(__file__).resolve().parents[2]


def test_pytest_alone_collects_no_benchmark() -> None:
    """`make test` is pytest without arguments: it looks below tests/ only, and disables what is a timing there."""
    text = (ROOT / "pyproject.toml").read_text()
    assert 'testpaths = ["tests"]' in text and "--benchmark-disable" in text
    assert (ROOT / "benchmarks").is_dir() and not list((ROOT / "tests").rglob("test_frechet.py"))


def test_timings_among_the_tests_run_only_when_asked_for(request: pytest.FixtureRequest) -> None:
    from tests.benchmarks import conftest

    class Item:
        def __init__(self, folder: Path, *fixtures: str) -> None:
            self.path, self.fixturenames = folder / "test_x.py", fixtures

    class Config:
        def __init__(self, enabled: bool) -> None:
            self.enabled, self.left_out = enabled, []
            self.hook = self

        def getoption(self, name: str, default: Any) -> Any:
            return self.enabled

        def pytest_deselected(self, items: list[Any]) -> None:
            self.left_out += items

    here = ROOT / "tests/benchmarks"
    items: Any = [Item(here, "benchmark"), Item(here, "x"), Item(ROOT / "tests/clel", "benchmark")]
    kept, config = list(items), Config(False)
    conftest.pytest_collection_modifyitems(config, kept)  # type: ignore[arg-type]
    assert kept == items[1:] and config.left_out == items[:1]
    kept = list(items)
    conftest.pytest_collection_modifyitems(Config(True), kept)  # type: ignore[arg-type]
    assert kept == items


def test_ratios_with_their_noise() -> None:
    old = {"a": [1.0, 1.1, 0.9], "b": [1.0, 1.1, 0.9], "c": [1.0, 0.5, 2.0], "gone": [1.0], "d": [1.0, 1.1, 0.9]}
    old["e"] = [1.0, 1.0, 1.0]
    new = {"a": [1.0, 1.1, 0.9], "b": [2.0, 2.2, 1.8], "c": [1.5, 0.5, 3.0], "fresh": [1.0], "d": [0.5, 0.55, 0.45]}
    new["e"] = [3.0, 3.0]
    lines, slower = comparison(old, new, 1.2)
    assert slower == ["b"]
    by_name = {line.split()[0]: line for line in lines if line}
    assert "2.00  1.81 to 2.21  slower" in by_name["b"]
    assert "slower" not in by_name["c"] and "1.50" in by_name["c"]  # beyond the limit, within the noise
    assert by_name["d"].endswith("faster")
    assert by_name["e"].endswith("too few rounds to judge") and "3.00" in by_name["e"]
    assert "only in the baseline" in by_name["gone"] and "only in the new run" in by_name["fresh"]


def test_save_compare_and_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    rounds = {"a": [1.0, 1.1, 0.9]}
    monkeypatch.setattr(bench, "run", lambda options: rounds)
    path = tmp_path / "baseline.json"
    with pytest.raises(ConfigError, match="bench-save"):
        main(Bench(compare=True, baseline=path))
    assert main(Bench(save=True, baseline=path)) == 0
    kept = json.loads(path.read_text())
    assert kept["machine"] == machine(choose_device("auto")) and kept["benchmarks"] == rounds
    assert main(Bench(compare=True, baseline=path)) == 0
    assert "none is slower" in capsys.readouterr().out
    rounds = {"a": [2.0, 2.2, 1.8]}
    assert main(Bench(compare=True, baseline=path)) == 1

    def not_reached(options: Bench) -> dict[str, list[float]]:
        raise AssertionError("measured before the machines were compared")

    monkeypatch.setattr(bench, "run", not_reached)
    kept["machine"] |= {"cores": 96, "torch": "1.0"}
    path.write_text(json.dumps(kept))
    with pytest.raises(ConfigError, match=r"cores: 96 -> \d+; torch: 1.0 -> "):
        main(Bench(compare=True, baseline=path))
    with pytest.raises(ConfigError, match="one of the two"):
        main(Bench(save=True, compare=True))


def test_one_round_is_handed_to_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def fake(arguments: list[str], **more: Any) -> Any:
        seen.extend(arguments)
        return type("Done", (), {"returncode": 1})

    monkeypatch.setattr(bench.subprocess, "run", fake)
    assert main(Bench(rounds=1, select="x")) == 1
    assert "--rounds=1" in seen and "--benchmark-enable" in seen and seen[seen.index("-k") + 1] == "x"
