"""Benchmarks stay out of the tests; a baseline compares on its machine alone, with noise in sight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from clel.config import ConfigError
from experiments.speed import bench, process, tuned
from experiments.speed import machine as machine_module
from experiments.speed.bench import Bench, BenchmarkRounds, main
from experiments.speed.brought import brought
from experiments.speed.machine import machine
from experiments.speed.regressions import comparison, judged

ROOT = Path(__file__).resolve().parents[3]


def test_pytest_alone_collects_no_benchmark() -> None:
    """`make test` is pytest without arguments: it looks below tests/ only, and disables what is a timing there."""
    text = (ROOT / "pyproject.toml").read_text()
    assert 'testpaths = ["tests"]' in text and "--benchmark-disable" in text
    assert (ROOT / "benchmarks/test_methods.py").is_file() and not list((ROOT / "tests").rglob("test_methods.py"))


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
    result = comparison(old, new, 1.2)
    assert result.slower == ["b"] and result.missing == ["gone"]
    by_name = {line.split()[0]: line for line in result.lines if line}
    assert "2.00      2.00  1.81 to 2.21  slower" in by_name["b"]
    assert "slower" not in by_name["c"] and "1.50" in by_name["c"]  # beyond the limit, within the noise
    assert by_name["d"].endswith("faster")
    assert by_name["e"].endswith("too few rounds to judge") and "3.00" in by_name["e"]
    assert "only in the baseline" in by_name["gone"] and "only in the new run" in by_name["fresh"]
    assert any("did not run: gone" in line for line in result.lines)
    selected = comparison(old, new, 1.2, selected=True)
    assert not selected.missing and "1 others of the baseline were not asked for" in selected.lines


def test_a_regression_does_not_hide_behind_disturbed_rounds() -> None:
    """Each round doubled, one of three old ones disturbed: the quartiles overlap, the undisturbed rounds do not."""
    old = [1.0, 1.0, 2.1] * 5
    assert judged(old, [2.0] * 15, 1.2) == "slower"
    assert judged([2.0] * 15, old, 1.2) == "faster"
    # disturbed rounds of the new run alone are no regression
    assert judged([1.0] * 15, [1.0, 1.0, 2.1, 2.1, 2.1], 1.2) == ""
    assert judged([1.0, 1.0, 1.0], [1.0, 2.1, 2.1], 1.2) == ""  # although here the quartiles are apart


def quiet(monkeypatch: pytest.MonkeyPatch, others: float = 0.0) -> None:
    """As if other programs kept so many cores busy."""
    load = {"load_before": 0.0, "load_after": 0.0, "others": others}
    monkeypatch.setattr(bench, "LOOK", 0.0)
    monkeypatch.setattr(bench.LoadWatch, "read", lambda self: load)


def finds(monkeypatch: pytest.MonkeyPatch, **rounds: list[float]) -> None:
    """As if the benchmarks took that."""
    monkeypatch.setattr(bench, "run", lambda options: BenchmarkRounds(rounds))


def kept(path: Path) -> list[dict[str, list[float]]]:
    return [run["benchmarks"] for run in json.loads(path.read_text())["runs"]]


def test_save_compare_and_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    quiet(monkeypatch)
    finds(monkeypatch, a=[1.0, 1.1, 0.9])
    path = tmp_path / "baseline.json"
    with pytest.raises(ConfigError, match="bench-save"):
        main(Bench(compare=True, baseline=path))
    assert main(Bench(save=True, baseline=path)) == 0
    baseline = json.loads(path.read_text())
    assert baseline["machine"] == machine(torch.device("cpu")) and kept(path) == [{"a": [1.0, 1.1, 0.9]}]
    assert main(Bench(compare=True, baseline=path)) == 0
    assert "none is slower" in capsys.readouterr().out
    finds(monkeypatch, a=[2.0, 2.2, 1.8])
    assert main(Bench(compare=True, baseline=path)) == 1

    not_measured(monkeypatch)
    baseline["machine"] |= {"cores": 96, "torch": "1.0"}
    path.write_text(json.dumps(baseline))
    for options in (Bench(compare=True, baseline=path), Bench(save=True, select="a", baseline=path)):
        with pytest.raises(ConfigError, match=r"cores: 96 -> \d+; torch: 1.0 -> "):
            main(options)
    sha = baseline["runs"][0]["provenance"]["git_sha"]
    with pytest.raises(ConfigError, match=f"the baseline's: {str(sha or 'not recorded')[:12]}"):
        main(Bench(compare=True, baseline=path))
    with pytest.raises(ConfigError, match="one of the two"):
        main(Bench(save=True, compare=True))


def test_amx_makes_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Under one name of a processor; a baseline that does not say is compared with, and that is said."""
    quiet(monkeypatch)
    finds(monkeypatch, a=[1.0, 1.1, 0.9])
    path = tmp_path / "baseline.json"
    monkeypatch.setattr(machine_module, "cpu_flags", lambda: frozenset({"amx_bf16", "avx512_bf16", "fpu"}))
    assert main(Bench(save=True, baseline=path)) == 0
    monkeypatch.setattr(machine_module, "cpu_flags", lambda: frozenset({"avx512_bf16"}))
    with pytest.raises(ConfigError, match="bfloat16: by amx_bf16, avx512_bf16 -> by avx512_bf16"):
        main(Bench(compare=True, baseline=path))
    old = json.loads(path.read_text())
    del old["machine"]["bfloat16"]
    path.write_text(json.dumps(old))
    capsys.readouterr()
    assert main(Bench(compare=True, baseline=path)) == 0
    assert "does not say of its machine: bfloat16 (by avx512_bf16 here)" in capsys.readouterr().err


def test_an_interruption_keeps_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    quiet(monkeypatch)

    def interrupted(options: Bench) -> BenchmarkRounds:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "run", interrupted)
    assert main(Bench(save=True, baseline=tmp_path / "baseline.json")) == 130
    assert "nothing was kept" in capsys.readouterr().err and not list(tmp_path.iterdir())


def not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_reached(options: Bench) -> BenchmarkRounds:
        raise AssertionError("measured what was to be refused before")

    monkeypatch.setattr(bench, "run", not_reached)


def test_a_part_is_kept_beside_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    quiet(monkeypatch)
    path = tmp_path / "baseline.json"
    both = BenchmarkRounds({"a": [1.0] * 3, "b": [1.0] * 3}, {"a": {"ratio": 3.0}, "b": {"ratio": 2.0}})
    monkeypatch.setattr(bench, "run", lambda options: both)
    assert main(Bench(save=True, baseline=path)) == 0
    finds(monkeypatch, a=[2.0] * 3)
    assert main(Bench(save=True, select="a", baseline=path)) == 0
    assert kept(path) == [{"b": [1.0] * 3}, {"a": [2.0] * 3}]
    assert json.loads(path.read_text())["runs"][0]["extra_info"] == {"b": {"ratio": 2.0}}
    assert "1 benchmarks kept, of 2 in it" in capsys.readouterr().out
    assert main(Bench(compare=True, select="a", baseline=path)) == 0
    # all were asked for and b did not run: it may be skipped, renamed or gone
    assert main(Bench(compare=True, baseline=path)) == 1
    assert "did not run: b" in capsys.readouterr().out
    assert main(Bench(save=True, baseline=path)) == 0  # a whole run replaces the whole
    assert kept(path) == [{"a": [2.0] * 3}]


def test_load_is_refused_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    path = tmp_path / "baseline.json"
    quiet(monkeypatch, others=500.0)
    not_measured(monkeypatch)
    assert main(Bench(save=True, baseline=path)) == 1
    assert "nothing measured while other programs kept 500.00 cores busy" in capsys.readouterr().err
    finds(monkeypatch, a=[1.0] * 3)
    assert main(Bench(save=True, force=True, baseline=path)) == 0
    path.unlink()
    loads = [{"load_before": 0.0, "others": others} for others in (500.0, 0.0)]  # comes while it measures
    monkeypatch.setattr(bench.LoadWatch, "read", lambda self: loads.pop())
    assert main(Bench(save=True, baseline=path)) == 1
    assert not path.exists() and "nothing kept" in capsys.readouterr().err
    quiet(monkeypatch, others=500.0)
    assert main(Bench(save=True, force=True, baseline=path)) == 0
    quiet(monkeypatch)
    capsys.readouterr()
    assert main(Bench(compare=True, baseline=path)) == 0
    assert "baseline were kept while other programs kept 500.00 cores busy" in capsys.readouterr().err


@pytest.mark.parametrize("rounds", [1, 2])
def test_too_few_rounds_make_no_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    not_measured(monkeypatch)
    for options in (Bench(save=True, rounds=rounds), Bench(compare=True, rounds=rounds)):
        with pytest.raises(ConfigError, match=f"rounds is {rounds}; a baseline needs at least 3"):
            main(options)


def test_what_each_switch_brings_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    extra = {"alternated": ["off", "on"], "off_ms": 30.0, "on_ms": 10.0, "ratio": 3.0}
    extra |= {"off_cpu_ms": 50.0, "on_cpu_ms": 20.0, "cpu_ratio": 2.5}
    share = {"share": 0.521, "share_of": "a convolution's 990 GFLOP/s"}
    found = BenchmarkRounds(
        {"t.py::test_chain[frozen]": [0.01]}, {"t.py::test_chain[frozen]": extra, "t.py::test_step": share}
    )
    monkeypatch.setattr(bench, "run", lambda options: found)
    assert main(Bench(rounds=1)) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[2].split() == ["chain[frozen]", "30.00", "10.00", "3.00", "50.00", "20.00", "2.50"]
    assert "step: 52 % of a convolution's 990 GFLOP/s" in out
    assert "no times" in out.splitlines()[0]
    assert brought({"x": {}}) == [] and "shortest" in brought(found.extras)[0]
    gpu = {"x::test_chain[frozen]": {key: value for key, value in extra.items() if "cpu" not in key}}
    assert "processor" not in brought(gpu)[0]
    assert brought(gpu)[2].split() == ["chain[frozen]", "30.00", "10.00", "3.00"]


def test_one_round_is_handed_to_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def fake(arguments: list[str], **more: Any) -> Any:
        seen.extend(arguments)
        return type("Done", (), {"returncode": 1, "stderr": ""})

    monkeypatch.setattr(bench.subprocess, "run", fake)
    assert main(Bench(rounds=1, select="x")) == 1
    assert {"--rounds=1", "--device=cpu", "--benchmark-enable"} <= set(seen) and seen[seen.index("-k") + 1] == "x"
    # with the allocator as a training has it, which is no business of the tests
    assert tuned.__name__ in seen and tuned.__name__ not in (ROOT / "pyproject.toml").read_text()


def test_where_nothing_matches_the_benchmarks_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "a.py::test_chain[frozen-on]\na.py::test_chain[x]\nb.py::test_moments\n\n3 tests collected\n"

    def fake(arguments: list[str], **more: Any) -> Any:
        collecting = "--collect-only" in arguments
        assert collecting != ("-k" in arguments)
        return type("Done", (), {"returncode": 0 if collecting else 5, "stdout": listed})

    monkeypatch.setattr(bench.subprocess, "run", fake)
    with pytest.raises(ConfigError, match=r"SELECT=x: no benchmark matches; there are chain, moments$"):
        bench.run(Bench(select="x"))


def test_what_is_no_benchmark_is_left_out() -> None:
    """So that a selection of such tests alone is one of nothing."""

    class Item:
        def __init__(self, *fixtures: str, mark: str = "") -> None:
            self.fixturenames, self.mark = fixtures, mark

        def get_closest_marker(self, name: str) -> bool:
            return name == self.mark

    class Config:
        def __init__(self, device: str) -> None:
            self.left_out: list[Any] = []
            self.hook, self.device = self, device

        def getoption(self, name: str, default: str) -> str:
            return self.device

        def pytest_deselected(self, items: list[Any]) -> None:
            self.left_out += items

    either, cpu, gpu = (Item("timed", "benchmark", mark=mark) for mark in ("", "cpu", "gpu"))
    items: Any = [either, cpu, gpu, Item("tmp_path"), object()]
    for device, own, other in (("cpu", cpu, gpu), ("cuda:1", gpu, cpu)):
        kept, config = list(items), Config(device)
        tuned.pytest_collection_modifyitems(config, kept)  # type: ignore[arg-type]
        assert kept == [either, own] and config.left_out == [other, *items[3:]]


def test_a_device_has_a_baseline_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its kind, and the process that measures is told the device; BASELINE= has precedence."""
    quiet(monkeypatch)
    monkeypatch.chdir(tmp_path)
    seen: list[str] = []

    def fake(options: Bench) -> BenchmarkRounds:
        seen.append(options.device)
        return BenchmarkRounds({"a": [1.0] * 3})

    monkeypatch.setattr(bench, "run", fake)
    # as on a machine that has a GPU
    monkeypatch.setattr(bench, "choose_device", torch.device)
    for name in ("machine", "provenance_of_measurements"):
        real = getattr(bench, name)
        monkeypatch.setattr(bench, name, lambda device, real=real: real(torch.device("cpu")) | {"device": device.type})
    kept_in = Path("results/bench")
    assert main(Bench(save=True)) == 0
    assert [path.name for path in kept_in.iterdir()] == ["baseline.json"]
    assert main(Bench(save=True, device="cuda:1")) == 0
    assert json.loads((kept_in / "baseline-cuda.json").read_text())["machine"]["device"] == "cuda"
    assert main(Bench(save=True, device="cuda", baseline=Path("my.json"))) == 0
    assert seen == ["cpu", "cuda:1", "cuda"] and Path("my.json").exists()
    with pytest.raises(ConfigError, match=r"another machine.*device: cpu -> cuda"):
        main(Bench(compare=True, device="cuda", baseline=kept_in / "baseline.json"))


def test_times_are_kept_as_the_users_and_compared_with_the_projects_where_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet(monkeypatch)
    monkeypatch.chdir(tmp_path)
    seconds = [1.0]
    monkeypatch.setattr(bench, "run", lambda options: BenchmarkRounds({"a": seconds * 3}))
    project, own = (Path(place, "bench/baseline.json") for place in ("results/project", "results"))
    with pytest.raises(ConfigError, match=f"^{project}: there is no baseline; make bench-save"):
        main(Bench(compare=True))
    assert main(Bench(save=True, baseline=project)) == 0
    before = project.read_bytes()
    seconds[0] = 2.0
    assert main(Bench(compare=True)) == 1  # twice the project's
    assert f"against {project}\n" in capsys.readouterr().out
    assert main(Bench(save=True)) == 0 and own.exists() and project.read_bytes() == before
    assert main(Bench(compare=True)) == 0  # with the user's


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    not_measured(monkeypatch)
    with pytest.raises(ConfigError, match="device is 'cuda', but this torch sees no GPU"):
        main(Bench(device="cuda"))
    with pytest.raises(ConfigError, match="expected auto, cpu, cuda"):
        main(Bench(device="gpu"))
    with pytest.raises(ConfigError, match="device is 'meta', which this torch does not see"):
        main(Bench(device="meta"))


@pytest.mark.slow
def test_the_benchmarks_are_found_by_name() -> None:
    assert {"frechet_term", "training_iteration", "chain"} <= set(bench.benchmark_names(bench.FOLDERS))


def test_benchmarks_have_the_settings_of_a_training(monkeypatch: pytest.MonkeyPatch, pytestconfig: Any) -> None:
    calls: list[str | None] = []
    monkeypatch.setattr(process, "let_engines_tune", lambda: None)
    monkeypatch.setattr(process, "tune_allocator", calls.append)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    tuned.pytest_configure(pytestconfig)
    assert calls == ["fast"] and torch.backends.cudnn.allow_tf32 is False
    assert process.provenance_of_measurements(torch.device("cpu"))["tf32"] is False
