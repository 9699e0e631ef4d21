"""The table of speed and memory from made-up measurements: composition, stages, claims, failures, records, figures."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from baselines import METHODS
from clel.config import ConfigError, differences
from clel.methods.stages import Stage
from clel.runs.config import with_engine
from experiments.cli import main
from experiments.speed import command as speed_command
from experiments.speed import launch
from experiments.speed import report as speed_report
from experiments.speed.claims import Claim, load_claims, sentences, sizes
from experiments.speed.command import (
    SpeedMemory,
    command,
    distances_csv,
    effort_of,
    folder_name,
    jobs_of,
    known_device,
    with_threads,
)
from experiments.speed.figures import growth
from experiments.speed.frame import CEILING, job_key, speed_frame
from experiments.speed.job import Job, read_job, write_job
from experiments.speed.launch import measured_jobs
from experiments.speed.machine import busy
from experiments.speed.measure import Session
from experiments.speed.numbers import ceiling, combined, other_sizes, schedule_hours, stage_numbers
from experiments.speed.profiles import COLOUR32, DIGITS, EFFORTS
from experiments.speed.records import read_records, write_records
from experiments.speed.report import distances_of_runs, write_speed_report
from experiments.speed.rows import ladder, schedule, speed_rows, with_batch
from experiments.speed.scaling import exponents, points, scaling_jobs
from experiments.speed.table import significant
from experiments.speed.work import stages_of
from experiments.sweep.naming import table_name
from experiments.table1.command import Table1
from tests.experiments.conftest import is_short

QUIET = {"load_before": 0.1, "load_after": 2.0, "others": 0.01}
MACHINE = {"cpu": "A CPU", "cores": 2, "threads": 2, "device": "cpu", "torch": "2", "python": "3", "system": "Linux"}


def measurement(
    short: float = 0.1, iteration: float = 0.39, steps: int = 30, taken: int | None = None, **more: Any
) -> dict[str, Any]:
    """Rounds of 90, 100 and 110 % of the median; a step of 10 ms."""
    taken = steps if taken is None else taken
    rounds = {"short": short, "iteration": iteration, "sampling_start": 0.01, "sampling": 0.01 + 0.02 * taken}
    found = {"stage": "training", "stage_iterations": 900, "images": 64, "parameters": 1000, "steps": steps}
    found |= {"measured_steps": taken, "peak_memory_bytes": 50_000_000, "loss": 0.5, "sampled_steps": taken}
    found |= {"engine": "fast (bfloat16)", "flop_short": 2_000_000_000, "flop_step": 500_000_000} | more
    return {
        "key": "x",
        "status": "ok",
        "reason": None,
        "rounds": {name: [0.9 * t, t, 1.1 * t] for name, t in rounds.items()},
        "extra": {},
        "found": found,
        "load": QUIET,
        "machine": MACHINE,
        "provenance": {},
    }


def products() -> dict[str, Any]:
    rounds = {"matrix-512-float32": [0.01] * 3, "convolution-16-float32": [0.02] * 3}
    extra = {name: {"flop": 2_000_000_000, "dtype": "float32"} for name in rounds}
    return measurement() | {"rounds": rounds, "extra": extra, "found": {}}


def test_a_whole_iteration_and_one_composed_of_shorter_ones_agree() -> None:
    whole = stage_numbers(measurement())
    composed = stage_numbers(measurement(iteration=0.1 + 4 * 0.01, taken=5))
    assert not whole.composed and composed.composed
    assert whole.iteration.median == pytest.approx(0.39) == pytest.approx(composed.iteration.median)
    assert whole.step == pytest.approx(0.01) and composed.step == pytest.approx(0.01)
    assert whole.sampling_step == pytest.approx(0.02) == pytest.approx(composed.sampling_step)
    assert whole.flop == composed.flop == 2_000_000_000 + 29 * 500_000_000
    # what was measured on 4 steps more is 29/4 as uncertain
    assert composed.iteration.high - composed.iteration.median == pytest.approx(0.05 * 0.14 * 29 / 4)


def test_numbers_of_a_row() -> None:
    row = combined([stage_numbers(measurement())])
    assert row["iteration_ms"] == pytest.approx(390) and row["images_per_s"] == pytest.approx(64 / 0.39)
    assert row["iteration_ms_q3"] - row["iteration_ms_q1"] == pytest.approx(39)
    assert row["steps_per_s"] == pytest.approx(100) and row["chain_share"] == pytest.approx(0.3 / 0.39)
    assert row["gflop"] == pytest.approx(16.5) and row["gflop_per_s"] == pytest.approx(16.5 / 0.39)
    assert row["step_gflop_per_s"] == pytest.approx(50) and row["own_hours"] == pytest.approx(900 * 0.39 / 3600)
    assert ceiling(products()) == {"float32": (pytest.approx(200.0), "matrix-512-float32")}


def test_stages_mix_as_the_schedule_does() -> None:
    first = measurement(0.2, 0.2, 0, stage="vae", stage_iterations=300, images=64, peak_memory_bytes=90_000_000)
    second = measurement(stage="energy", stage_iterations=100, images=32)
    del first["rounds"]["sampling"]
    stages = [stage_numbers(m) for m in (first, second)]
    row = combined(stages)
    assert row["iteration_ms"] == pytest.approx(0.75 * 200 + 0.25 * 390) and row["images"] == 56
    assert row["peak_memory_bytes"] == 90_000_000 and row["langevin_steps"] == 30
    # 300 iterations without chains, 100 of which 30 steps of 10 ms are part
    assert row["chain_share"] == pytest.approx(100 * 0.3 / (300 * 0.2 + 100 * 0.39))
    vae, energy = Stage("vae", 3600, images=64), Stage("energy", 7200, 30, images=32)
    hours = schedule_hours(stages, [vae, energy])
    assert hours is not None and hours.median == pytest.approx(0.2 + 2 * 0.39)
    assert schedule_hours(stages, [vae, Stage("another", 1)]) is None
    assert other_sizes(stages, [vae, energy]) == {"steps": "", "batch": ""}


def test_hours_of_a_schedule_are_for_its_chains_and_batches() -> None:
    stages = [stage_numbers(measurement(steps=30))]
    planned = [Stage("training", 3600, 60, images=256)]
    hours = schedule_hours(stages, planned)
    assert hours is not None and hours.median == pytest.approx((0.1 + 59 * 0.01) * 256 / 64)
    # the quartiles of 29 steps more, 5 % of 390 ms, for 59
    assert hours.high - hours.median == pytest.approx(0.05 * 0.39 * 59 / 29 * 256 / 64)
    assert other_sizes(stages, planned) == {"steps": "30 to 60", "batch": "64 to 256"}
    # the same, whatever number of steps was measured
    shorter = [stage_numbers(measurement(iteration=0.1 + 4 * 0.01, taken=5))]
    assert schedule_hours(shorter, planned).median == pytest.approx(hours.median)  # type: ignore[union-attr]
    without = [stage_numbers(measurement(0.1, 0.1, 0))]
    assert schedule_hours(without, planned) is None
    assert other_sizes([stage_numbers(measurement(stage=s)) for s in "ab"], [Stage("b", 1, 60, images=64)]) == {
        "steps": "30 to 60 (b)",
        "batch": "",
    }


def test_rows_are_the_profiles_and_stand_for_the_papers() -> None:
    quick = speed_rows("quick", [], "cpu", None)
    assert {r.run.method for r in quick} >= {"clel", "plain"} and len({r.key for r in quick}) == len(quick)
    rungs = {row.published: row for row in ladder("quick", "cpu")}
    assert rungs["clel-large"].run.config.network.widths == (64, 64)
    assert schedule(rungs["clel-large"])[1] == "large" and schedule(rungs["clel-multiscale"])[1] == "multiscale"
    assert schedule(rungs["drl-n2"])[0].train.iterations == 240_000
    # one rule for all rows of a profile: the iterations of the paper's preset, also where the row's own has others
    for profile in ("quick", "evening", "small", "paper"):
        for row in speed_rows(profile, [], "cpu", None):
            recipes = METHODS[row.run.method].recipes()
            later, preset = schedule(row)
            assert later.train.iterations == recipes["paper"].train.iterations and preset in recipes
    # the paper profile has the ladder itself
    paper = {row.published for row in speed_rows("paper", [], "cpu", None)}
    assert paper >= {"plain", "clel-base", "clel-multiscale", "clel-multiscale-256", "clel-large"}
    assert paper >= {"drl-n2", "drl-n8", "vaebm"} and not ladder("paper", "cpu")
    assert [row.key for row in speed_rows("quick", ["plain", "clel:+batch"], "cpu", None)] == ["plain", "clel:+batch"]
    # stages come from a method's settings: as it says when it is built whole
    for row in quick:
        built = METHODS[row.run.method].build(row.run.config, DIGITS).stages(row.run.train.iterations)
        assert [stage for _, stage in stages_of(row.run, DIGITS)] == [s for s in built if s.iterations]
    (same,) = speed_rows("quick", ["clel:quick"], "cpu", 16)
    assert same.run.config.batch_size == same.run.config.contrastive_batch_size == 16
    with pytest.raises(ConfigError, match="clel"):
        speed_rows("quick", ["clle"], "cpu", None)


def test_a_batch_that_is_asked_for_keeps_the_ladder() -> None:
    rows = {row.key: row for row in speed_rows("quick", [], "cpu", 16)}
    towers, batch = rows["clel:+towers"].run.config, rows["clel:+batch"].run.config
    assert towers.batch_size == batch.batch_size == towers.contrastive_batch_size == 16
    assert batch.contrastive_batch_size == 64
    assert rows["clel:+batch"].title == "CLEL, + contrastive batch 64"
    assert {row.key: row.title for row in ladder("quick", "cpu")}["clel:+batch"] == "CLEL, + contrastive batch 256"
    assert rows["clel:+batch"].remark == "contrastive_batch_size is 64, in proportion to the batch"
    assert rows["clel:+towers"].remark is None is speed_rows("quick", ["clel:+batch"], "cpu", None)[0].remark
    # a stage's own images are the batch that was asked for
    vaebm = METHODS["vaebm"].recipe("paper").config
    assert vaebm.batch_size != vaebm.vae_batch_size and with_batch(vaebm, 48).vae_batch_size == 48


@pytest.mark.parametrize("profile", ["quick", "small", "paper"])
def test_every_job_of_a_profile_can_be_built(profile: str, tmp_path: Path) -> None:
    """Without a step taken: configurations are valid, keys differ, and what a process reads is what was written."""
    options = SpeedMemory(profile)
    effort = effort_of(options)
    rows, found = speed_rows(profile, [], "cpu", None), points(profile, effort.spec, "cpu")
    jobs = jobs_of(options, effort, "cpu", rows, found)
    assert len({job.key for job in jobs}) == len(jobs)
    if profile == "quick":  # where building them takes no time: images large enough for the networks
        for point in found:
            METHODS[point.method].build(point.run.config, point.spec)
        for row in rows:
            METHODS[row.run.method].build(row.run.config, effort.spec)
    write_job(jobs[-1], tmp_path / "job.json")
    assert read_job(tmp_path / "job.json") == jobs[-1]
    assert len(scaling_jobs(found, effort, "cpu", None)) < len(found)  # the preset itself is on every curve


def report(
    tmp_path: Path,
    measurements: dict[str, Any],
    profile: str = "quick",
    batch: int | None = None,
    drawn: bool = False,
) -> Path:
    """drawn: with the figures, which take most of its time; without, their files are empty."""
    rows = speed_rows(profile, ["plain", "clel"], "cpu", batch)
    records = {
        "options": {"profile": profile, "batch": batch},
        "machine": MACHINE,
        "provenance": {"git_sha": "0123456789abcdef", "git_dirty": False},
        "load": QUIET,
        "measurements": measurements,
    }
    write_records(tmp_path, records)
    found = points("quick", DIGITS, "cpu")
    with pytest.MonkeyPatch.context() as patch:
        if not drawn:
            patch.setattr(speed_report, "drawn", lambda name, figure: {f"{name}.png": b""})
            for name in ("iteration_bars", "memory_bars", "distance_against_cost", "growth"):
                patch.setattr(speed_report.figures, name, lambda *given: None)
        write_speed_report(tmp_path, rows, found, DIGITS, read_records(tmp_path), "make x", tmp_path / "runs.csv")
    return tmp_path


def made() -> dict[str, Any]:
    rows = speed_rows("quick", ["plain", "clel"], "cpu", None)
    found = {job_key(row, "training"): measurement() for row in rows} | {CEILING: products()}
    found["clel/training"] = measurement(0.2, 0.49, engine="exact")
    for point in points("quick", DIGITS, "cpu"):
        found[point.key] = measurement(iteration=0.1 + point.value, short=0.05)
    return found


def test_the_report(tmp_path: Path) -> None:
    (clel,) = (row.run for row in speed_rows("quick", ["clel:quick"], "cpu", None))
    names = [replace(clel, seed=seed).name for seed in (0, 1)]
    runs = {"name": names, "seed": [0, 1], "status": ["ok"] * 2, "fid_fresh": [0.2, 0.4]}
    pd.DataFrame(runs).to_csv(tmp_path / "runs.csv", index=False)
    folder = report(tmp_path, made(), drawn=True)
    short = (folder / "speed_summary.md").read_text()
    assert is_short(short) and "| Plain EBM | 390 | " in short and short.rstrip().count(" | 38 | 6 |") == 1
    text = (folder / "speed_memory.md").read_text()
    assert "Warning" not in text and "**Load:**" in text
    assert "; engine fast (bfloat16) (CLEL: exact). One" in text
    plain = next(line for line in text.splitlines() if line.startswith("| Plain EBM |")).split("|")
    cells = [cell.split("<sup>")[0].strip() for cell in plain[1:-1]]
    assert cells[1:3] == ["64", "390 (39.0)"] and "77 %" in cells and "21 %; 25 %" in cells
    # 100,000 iterations with 60 steps: t(1) = 100 ms and 59 of 10 ms; CLEL's 200 ms and the same
    assert cells[-2:] == ["38", "6"] and "19.2" in cells
    assert "From the sizes here to the paper's: Plain EBM / CLEL / CLEL, + multi-scale" in text and "K 30 to 60" in text
    assert "1.14 times the time" in text and "with images of another size: 1.14" in text
    # the paper's ratio is not set beside that of other images
    assert "41 h against 38 h (Table 1b). Measured" in text and "Not compared with the paper's ratio" in text
    assert "The engines differ, exact for CLEL and fast (bfloat16) for Plain EBM" in text
    assert "Hours are for the paper's sizes (CLEL: K 30 to 60; Plain EBM: K 30 to 60)." in text
    assert "Engine exact, where most rows have fast (bfloat16)." in text
    large = next(line for line in text.splitlines() if "large CLEL against CLEL-Base" in line)
    assert "ENGINE=float32 puts both on one" in large and "of that" not in large
    assert "small stand-ins" in text
    assert "steps" in text and "Growth with size" in text
    values = pd.read_csv(folder / "speed_memory.csv", index_col="row")
    assert values.loc["clel:+channels", "schedule"] == "large" and values.loc["plain", "rounds"] == 3
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert figures == {f"speed_{name}.png" for name in ("iteration", "memory", "distance", "scaling")}
    tex = (folder / "speed_memory.tex").read_text()
    assert tex.count(r"\begin{tabular}{@{}l") == 2 and r"\usepackage{booktabs}" in tex


def test_a_footnote_has_the_rounds(tmp_path: Path) -> None:
    found = made()
    found["clel/training"]["rounds"]["iteration"] = [0.4] * 7
    text = (report(tmp_path, found) / "speed_memory.md").read_text()
    assert "interquartile range over 3 rounds (CLEL: 7), warm-up excluded" in text
    rounds = pd.read_csv(tmp_path / "speed_memory.csv", index_col="row")["rounds"]
    assert (rounds["plain"], rounds["clel"]) == (3, 7)


def test_the_columns_are_those_that_the_documentation_explains(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs/reference/columns.md").read_text()
    section = page.split("### Columns of speed_memory.csv\n")[1].split("\n## ")[0]
    listed = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    explained = re.findall(r"`(\w+)`", "".join(listed))
    report(tmp_path, made())
    written = list(pd.read_csv(tmp_path / "speed_memory.csv").columns)
    assert sorted(explained) == sorted(written)


def test_rows_of_one_engine_are_held_against_the_paper() -> None:
    rows = speed_rows("quick", ["plain", "clel"], "cpu", None)
    values = speed_frame(rows, made() | {"clel/training": measurement(0.2, 0.49)}, DIGITS)
    time, memory, *_ = sentences(values, load_claims(), sizes(False, None, "x"))
    assert "1.14 times the time of the paper's schedule" in time and "1.08 times; what is measured is 1.06" in time
    assert "engines" not in time + memory
    assert "1.00 times the peak memory" in memory and "what is measured is 0.86 of that" in memory


def test_the_sentences_of_the_papers_size_come_first(tmp_path: Path) -> None:
    """From the table of the small networks beside the quick one: 59 steps of 10 ms in both, 0.1 s more in CLEL's."""
    beside = {key: m for key, m in made().items() if key in ("plain/training", CEILING)}
    beside["clel/training"] = measurement(0.2, 0.49)
    machine = MACHINE | {"cpu": "Another CPU"}
    records = {"options": {"profile": "small", "batch": None, "device": "cpu"}, "machine": machine}
    records |= {"provenance": {"git_sha": "0", "git_dirty": False}, "load": QUIET, "measurements": beside}
    (tmp_path / "small-plain-clel").mkdir()
    write_records(tmp_path / "small-plain-clel", records)
    (tmp_path / "quick").mkdir()
    text = (report(tmp_path / "quick", made()) / "speed_memory.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("- What contrastive guidance adds")]
    time, memory, own = lines[:3]
    assert "Another CPU, images 3x32x32" in time and "(From small-plain-clel.)" in time and "of that. Measured" in time
    assert "An iteration takes 100 ms more, 100 % of it outside the Langevin steps" in time
    assert "to the memory" in memory and "(From small-plain-clel.)" in memory
    assert "with images of another size" in own and "of that" not in own


def test_with_another_batch(tmp_path: Path) -> None:
    found = {key: m | {"found": m["found"] | {"images": 16}} for key, m in made().items() if key != CEILING}
    text = (report(tmp_path, found, "paper", 16) / "speed_memory.md").read_text()
    assert "Measured: the paper's networks at batch 16, on" in text and "stand-ins" not in text
    assert "batch 16 to 64" in text
    memory = next(line for line in text.splitlines() if "to the memory of the plain EBM" in line)
    assert "The batches are not the paper's" in memory and "of that" not in memory
    assert sizes(True, None, "x") == "the paper's networks and sizes, on x"


def test_distances_are_those_of_the_rows_own_runs(tmp_path: Path) -> None:
    (row,) = speed_rows("quick", ["clel:quick"], "cpu", None)
    (larger,) = speed_rows("quick", ["clel:quick"], "cpu", 16)
    exact = with_engine(row.run, "exact")
    names = [replace(row.run, seed=0).name, replace(row.run, seed=2).name, replace(exact, seed=0).name, "x"]
    runs = {"name": names, "method": ["clel"] * 4, "preset": ["quick"] * 4, "seed": [0, 2, 0, 0]}
    runs |= {"status": ["ok", "ok", "ok", "diverged"], "fid_fresh": [0.1, 0.2, 0.3, None]}
    pd.DataFrame(runs).to_csv(tmp_path / "runs.csv", index=False)
    found, _ = distances_of_runs(tmp_path / "runs.csv", {"own": row.run, "batch": larger.run, "exact": exact})
    assert found == {"own": [0.1, 0.2], "exact": [0.3]}
    assert distances_of_runs(tmp_path / "none.csv", {"own": row.run})[0] == {}


def test_what_failed_and_who_disturbed(tmp_path: Path) -> None:
    found = made()
    found["clel/training"] |= {"status": "oom", "reason": "can't allocate 9 GB | _"}
    found["plain/training"]["load"] = QUIET | {"others": 1.5}
    for key, m in found.items():
        m["provenance"] = {"allocator": "tuned" if key == "plain/training" else "as the C library has it"}
    text = (report(tmp_path, found) / "speed_memory.md").read_text()
    assert f"as the C library has it in {len(found) - 1}; tuned in 1 of {len(found)} measurements" in text
    assert "**Warning:** other programs were at work during 1 of" in text
    assert "CLEL: oom (can't allocate 9 GB \\| \\_)" in text
    assert "not measured here (CLEL has no result)" in text
    found["plain/training"]["fallbacks"] = found["clel/training"]["fallbacks"] = ["chains run step by step: no graph"]
    text = (report(tmp_path, found) / "speed_memory.md").read_text()
    assert text.count("**Warning:** chains run step by step: no graph, in plain/training and perhaps others.") == 1
    del found["plain/training"]
    rows = speed_rows("quick", ["plain"], "cpu", None)
    assert speed_frame(rows, found, DIGITS).loc["plain", "status"] == "missing"


def test_a_rung_of_the_ladder_stands_for_a_published_row_before_a_preset() -> None:
    columns = {"title": ["A", "A8", "L"], "published": ["drl-n8", "drl-n8", "clel-large"], "rung": [False, True, True]}
    columns |= {"hours": [1.0, 20.0, 4.0], "peak_memory_bytes": [1.0, 8.0, 2.0]}  # type: ignore[dict-item]
    columns |= {f"hours_{q}": columns["hours"] for q in ("q1", "q3")}
    columns |= {name: [""] * 3 for name in ("engine", "schedule_steps", "schedule_batch")}
    (time, memory) = (s for s in sentences(pd.DataFrame(columns), load_claims(), "x") if "N = 8" in s)
    assert "5.00 times the time" in time and "A8 against L" in time and "4.90 times (from an estimate)" in time
    assert "what is measured is 1.02 of that. Measured: x." in time
    assert "4.00 times the peak memory" in memory
    assert sentences(pd.DataFrame(columns), [Claim("c", ("no",), ("such",), "hours", "", "")], "x") == []


def test_a_process_that_came_to_nothing(tmp_path: Path) -> None:
    job = Job("a", "cpu", EFFORTS["smoke"])

    def killed(job: Job, folder: Path) -> int:
        (folder / "output.log").write_text("one\ntwo\n")
        return -9

    result = measured_jobs([job], "x", killed)["a"]
    assert result["status"] == "error" and "signal 9" in result["reason"] and "one | two" in result["reason"]

    def full(job: Job, folder: Path) -> int:
        found = {"found": {}, "failures": ["RuntimeError: can't allocate memory"], "machine": {}, "provenance": {}}
        (folder / "found.json").write_text(json.dumps(found))
        return 0

    assert measured_jobs([job], "x", full)["a"]["status"] == "oom"
    assert launch._name({"name": "test_product[matrix-512-float32]"}) == "matrix-512-float32"


def test_what_fell_back_is_kept(tmp_path: Path) -> None:
    """By the plugin of the process that measures, once; other warnings are nobody's."""
    lines = ["import warnings", "from clel.chains.switches import FallbackWarning"]
    for number, kind in enumerate(("FallbackWarning", "RuntimeWarning", "FallbackWarning")):
        lines += [f"def test_{number}():", f"    warnings.warn('by {kind}', {kind})"]
    (tmp_path / "test_it.py").write_text("\n".join(lines))
    session = Session(Job("a", "cpu", EFFORTS["smoke"]))
    arguments = ["-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(tmp_path), str(tmp_path)]
    assert pytest.main(arguments, plugins=[session]) == 0
    assert session.fallbacks == ["by FallbackWarning"]


def test_records_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not there"):
        read_records(tmp_path)
    (tmp_path / "speed_memory.json").write_text('{"schema": 0}')
    with pytest.raises(ConfigError, match="schema 0"):
        read_records(tmp_path)
    with pytest.raises(ValueError, match="machine is not a table"):
        write_records(tmp_path, {"options": {}})


def test_options() -> None:
    options = SpeedMemory("small", methods="clel, plain", device="cuda:0", batch=8, threads=3)
    assert folder_name(options) == "small-clel-plain-cuda-0-batch-8-3-threads"
    assert command(options) == "make speed-memory PROFILE=small METHODS=clel, plain DEVICE=cuda:0 BATCH=8 THREADS=3"
    assert command(SpeedMemory(scaling=False)) == "make speed-memory SCALING=0"
    assert command(SpeedMemory(out=Path("results/here"))) == "make speed-memory"
    with pytest.raises(ConfigError, match="device is 'mps'"):
        known_device("mps")
    with pytest.raises(ConfigError, match="rounds is 1"):
        effort_of(replace(options, rounds=1))
    assert effort_of(options).spec == COLOUR32
    assert folder_name(SpeedMemory(engine="bfloat16")) == "quick-bfloat16"
    assert distances_csv(options) == Path("results/small/runs.csv")
    of_engine = SpeedMemory(engine="bfloat16", batch=8)
    assert distances_csv(of_engine) == Path("results", table_name(Table1(engine="bfloat16")), "runs.csv")


def test_threads_of_the_environment_are_in_folder_and_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    n = torch.get_num_threads()
    options = with_threads(SpeedMemory(), {"OMP_NUM_THREADS": str(n)})
    assert command(options) == f"make speed-memory THREADS={n}" and folder_name(options) == f"quick-{n}-threads"
    assert with_threads(SpeedMemory(threads=7), {"OMP_NUM_THREADS": str(n)}).threads == 7
    assert with_threads(SpeedMemory(), {}) == with_threads(SpeedMemory(), {"OMP_NUM_THREADS": ""}) == SpeedMemory()
    # main looks at the environment; the records of a report are those of the command that it is given
    monkeypatch.setenv("OMP_NUM_THREADS", str(n))
    monkeypatch.setattr(speed_command, "measured_records", lambda options, *more: pytest.fail(folder_name(options)))
    with pytest.raises(pytest.fail.Exception, match=f"smoke-plain-{n}-threads"):
        main(["speed-memory", "--profile", "smoke", "--methods", "plain", "--out", str(tmp_path)])
    assert main(["speed-memory", "--report", "--out", str(tmp_path)]) == 2
    assert "quick/speed_memory.json: not there" in capsys.readouterr().err
    folder = report(tmp_path / f"quick-plain-clel-{n}-threads", made())
    assert main(["speed-memory", "--report", "--methods", "plain,clel", "--no-scaling", "--out", str(tmp_path)]) == 0
    assert str(folder) in capsys.readouterr().out


def test_a_report_needs_no_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    options = SpeedMemory(methods="plain,clel", device="cuda:1", report=True, out=tmp_path)
    folder = report(tmp_path / folder_name(options), made())
    (folder / "speed_memory.md").unlink()
    assert speed_command.main(options) == 0 and (folder / "speed_memory.md").exists()
    with pytest.raises(ConfigError, match="sees no GPU"):
        speed_command.main(replace(options, report=False))


def test_machines_and_their_load() -> None:
    assert differences(MACHINE, MACHINE | {"threads": 8}) == ["threads: 2 -> 8"]
    assert differences(MACHINE, MACHINE | {"gpu": "G"}) == ["gpu: absent -> G"]
    assert not busy(QUIET, MACHINE)
    assert busy(QUIET | {"others": 1e3}, MACHINE | {"threads": 1000})
    assert busy({"load_before": 2.5, "others": None}, MACHINE) and not busy({"others": None}, MACHINE)


@pytest.mark.parametrize(
    ("value", "text"),
    [(390.4, "390"), (3.456, "3.46"), (0.01234, "0.0123"), (12345.6, "12,346"), (None, ""), (0, "0.00")],
)
def test_significant(value: float | None, text: str) -> None:
    assert significant(value) == text


def test_an_interrupted_command_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    """But for another commit or machine, for a job that changed, and for one that failed."""
    first, second = (Job(key, "cpu", EFFORTS["smoke"]) for key in "ab")
    asked: list[str] = []
    broken = ["b"]

    def run(job: Job, folder: Path) -> int:
        asked.append(job.key)
        if job.key in broken:
            raise KeyboardInterrupt
        found = {"found": {"n": len(asked)}, "failures": [], "machine": {}, "provenance": {}}
        (folder / "found.json").write_text(json.dumps(found))
        return 0

    kept = tmp_path / "kept.json"
    with pytest.raises(KeyboardInterrupt):
        measured_jobs([first, second], "x", run, kept, "here")
    broken.clear()
    result = measured_jobs([first, second], "x", run, kept, "here")
    assert asked == ["a", "b", "b"] and [result[key]["found"]["n"] for key in "ab"] == [1, 3]
    measured_jobs([first, second], "x", run, kept, "elsewhere")
    assert asked[3:] == ["a", "b"]
    measured_jobs([replace(first, threads=1), second], "x", run, kept, "elsewhere")
    assert asked[5:] == ["a"]
    content = json.loads(kept.read_text())
    content["jobs"]["b"]["measurement"]["status"] = "error"
    kept.write_text(json.dumps(content))
    measured_jobs([second], "x", run, kept, "elsewhere")
    assert asked[6:] == ["b"]


@pytest.mark.parametrize("largest", [1.02, 500.0])
def test_growth_is_drawn_on_one_scale_with_a_tick_at_each_point(largest: float) -> None:
    """And what does not grow does not look as if it did: the scale has a factor of 4 at least."""
    values = {"batch": (16, 32, 128), "steps": (15, 30)}
    curve = [
        {"method": "a", "title": "A", "axis": axis, "value": float(v), "seconds": 0.1, "bytes": 5e7 * y}
        for axis, ticks in values.items()
        for v, y in zip(ticks, (1.0, 1.01, largest), strict=False)
    ]
    figure = growth(curve, exponents(curve))
    figure.draw_without_rendering()  # type: ignore[no-untyped-call]
    panels = figure.axes
    for column, ticks in enumerate(values.values()):
        for axes in (panels[column], panels[column + 2]):
            assert [tick.get_text() for tick in axes.get_xticklabels()] == [str(v) for v in ticks]
    for row in (panels[:2], panels[2:]):
        low, high = row[0].get_ylim()
        assert row[1].get_ylim() == (low, high) and high >= 3.99 * low
        shown = [t for t in row[0].get_yticks() if low <= t <= high]
        assert 3 <= len(shown) <= 12


def test_without_a_distance_there_is_no_figure_of_them(tmp_path: Path) -> None:
    (clel,) = (row.run for row in speed_rows("quick", ["clel:quick"], "cpu", None))
    runs = {"name": [clel.name], "seed": [0], "status": ["ok"], "fid_fresh": [0.2]}
    pd.DataFrame(runs).to_csv(tmp_path / "runs.csv", index=False)
    figure = report(tmp_path, made(), drawn=True) / "figures/speed_distance.png"
    assert figure.exists() and "Distances: none" not in (tmp_path / "speed_memory.tex").read_text()
    (tmp_path / "runs.csv").unlink()
    report(tmp_path, made())
    assert not figure.exists()
    text = (tmp_path / "speed_memory.md").read_text()
    assert (
        "**Distances:** none, since no measured row has a trained run in " in text and "runs.csv; so no figure" in text
    )


def test_curves_of_an_earlier_table_do_not_stay(tmp_path: Path) -> None:
    folder = report(tmp_path, made())
    assert (folder / "speed_scaling.csv").exists()
    report(tmp_path, {key: m for key, m in made().items() if not key.startswith("scaling/")})
    left = {path.name for path in folder.rglob("*")}
    assert not left & {"speed_scaling.csv", "speed_exponents.csv", "speed_scaling.png"} and "speed_memory.md" in left
