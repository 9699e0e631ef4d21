"""make tune: the same number of trials for every method, on seeds of their own, and a choice that follows from them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from baselines import METHODS
from clel.config import ConfigError, identity
from clel.runs.config import Run, resolve
from experiments.commands.artefacts import artefact_of
from experiments.sweep.store import Stored
from experiments.sweep.variants import value_at
from experiments.tune import command
from experiments.tune.command import Tune
from experiments.tune.figures import trials_figure
from experiments.tune.grids import EVENING, GRIDS, QUICK, Choice, at_trial, trial_cells, trying_of
from experiments.tune.table import about, by_method, trials_grid
from experiments.tune.trials import KEPT, Trial, as_csv, best, kept_of, read_trials, scored, trial_of

KEPT_OF = (("quick", None), ("evening", "cifar10_jpeg"))
"""Profile and data set of the project's own trials."""


def ended(cell: Any, distance: float | None, status: str = "ok") -> Trial:
    """The row of a made-up record of this cell."""
    metrics = {} if distance is None else {"fid_fresh": distance}
    protocol = {
        "n_fake": 1000,
        "n_real": 450,
        "reference": "digits/test",
        "features_identity": "f00d",
        "engine": "fast",
    }
    training = {"iterations": 900, "gradient_evaluations": 27000, "seconds": 150.5, "divergences": 0}
    origin = {"device": "cpu", "git_sha": "abc", "git_dirty": False, "finished": "now"}
    record = {"metrics": metrics, "protocol": protocol, "training": training, "provenance": origin}
    return trial_of(cell, Stored(cell.run_name, status, None if status == "ok" else "a\nreason", record))


def outcome(
    distances: dict[int, tuple[float | None, ...]], method: str = "plain"
) -> tuple[list[Any], dict[str, Trial]]:
    """The cells of a method, and trials with these distances by number of the trial; None for a diverged seed."""
    cells = trial_cells("quick", [method])
    rows = list(dict.fromkeys(cell.row for cell in cells))
    found = {}
    for number, values in distances.items():
        members = [cell for cell in cells if cell.row == rows[number]]
        for cell, value in zip(members, values, strict=False):
            found[cell.run_name] = ended(cell, value, "ok" if value is not None else "diverged")
    return cells, found


def test_every_method_has_as_many_trials_of_a_learning_rate_and_one_more_setting() -> None:
    assert set(QUICK) == set(METHODS)
    counts = {method: len(grid.trials) for method, grid in QUICK.items()}
    assert min(counts.values()) >= 6 and len(set(counts.values())) == 1, counts
    for method, grid in QUICK.items():
        run = resolve(METHODS, method, "quick")
        assert len(grid.settings) == 2 and grid.settings[0].key == "lr", method
        for setting in grid.settings:
            assert len(set(setting.values)) == len(setting.values)
            value_at(run, setting.key)  # the method has it


def test_the_evening_profile_has_as_many_trials_of_every_method() -> None:
    assert set(EVENING) == set(METHODS)
    assert {len(grid.trials) for grid in EVENING.values()} == {4}
    for method in EVENING:
        full, trials = resolve(METHODS, method, "evening"), trial_cells("evening", [method])
        assert {cell.seed for cell in trials} == {100} and {cell.dataset for cell in trials} == {"cifar10@16"}
        for cell in trials:
            run: Any = cell.run
            # a third of everything that is a length, so that shares stay what they are
            assert run.train.iterations == math.ceil(full.train.iterations / 3)
            assert run.train.ema_half_life == pytest.approx(full.train.ema_half_life / 3)
            assert getattr(run.config, "warmup", 0) == math.ceil(getattr(full.config, "warmup", 0) / 3)
            assert run.evaluate.features == "lite0" and run.evaluate.reference == "test"
            assert getattr(run.config, "cooldown", 0.3) == 0.3
    restarts = {cell.row: cell.run.config.buffer.restart for cell in trial_cells("evening", ["clel"])}  # type: ignore
    assert restarts == {
        "clel[lr=0.0005,langevin.noise=0.001]": 1.0,
        "clel[lr=0.001,langevin.noise=0.001]": 1.0,
        "clel[lr=0.001,langevin.noise=0.01]": 1.0,
        "clel:evening-persistent": 0.001,
    }
    other = trial_cells("evening", ["clel"], dataset="shapes")
    assert {cell.dataset for cell in other} == {"shapes@16"}


def test_a_preset_that_is_tried_as_it_is() -> None:
    cells = trial_cells("evening", ["plain"])
    found = {cell.run_name: ended(cell, value) for cell, value in zip(cells, (600.0, 700.0, 800.0, 500.0), strict=True)}
    rows = scored(cells, found)
    assert list(by_method(rows)) == ["plain"] and best(rows) is rows[3]
    table = trials_grid(rows, "evening")
    tried = [f"lr {rate}, langevin.noise {noise}" for rate, noise in ((0.0005, 0.001), (0.001, 0.001), (0.001, 0.01))]
    assert [line[1].text for line in table.rows] == [*tried, "preset evening-persistent"]
    assert [line[-1].text for line in table.rows] == ["", "preset", "", "chosen"]
    shortened = "1/3 of the preset's iterations with cooldown 0.3, beta 0.01 where a method has it"
    assert shortened in about(rows, cells, "make tune")[0]
    (axes,) = [axes for axes in trials_figure(rows, "evening").axes if axes.get_visible()]
    assert axes.get_legend_handles_labels()[1] == ["langevin.noise 0.001", "langevin.noise 0.01", "evening-persistent"]


def test_a_preset_may_differ_from_the_chosen_trial_where_whole_trainings_with_it_broke_down() -> None:
    chosen = Choice((("lr", 1e-3), ("langevin.noise", 0.01)))
    run: Any = resolve(METHODS, "clel", "evening")
    assert trying_of("evening").mended == {"clel": (("langevin.noise", 0.001), ("beta", 0.001))}
    assert (run.config.lr, run.config.langevin.noise, run.config.beta) == (1e-3, 0.001, 0.001)
    assert at_trial("evening", "clel", chosen)
    assert not at_trial("evening", "clel", Choice((("lr", 5e-4), ("langevin.noise", 0.001))))
    cells = trial_cells("evening", ["clel"])
    assert {cell.run.config.beta for cell in cells} == {0.01}  # type: ignore[attr-defined]  # as before it was mended
    found = {cell.run_name: ended(cell, value) for cell, value in zip(cells, (3.0, 2.0, 1.0, 4.0), strict=True)}
    marks = [line[-1].text for line in trials_grid(scored(cells, found), "evening").rows]
    mended = "preset, but for langevin.noise 0.001, beta 0.001"
    assert marks == ["", "preset, but for beta 0.001", f"chosen, {mended}", ""]


def test_no_table_reports_the_seeds_of_trials() -> None:
    assert trying_of("quick").seeds == (100, 101, 102)
    assert min(seed for profile in GRIDS for seed in trying_of(profile).seeds + trying_of(profile).whole) >= 100
    cells = trial_cells("quick")
    assert {cell.seed for cell in cells} == {100, 101, 102}
    assert len({cell.run_name for cell in cells}) == len(cells) == len(QUICK) * 6 * 3


def test_trials_are_measured_on_held_out_images_and_do_not_hang_on_the_present_preset() -> None:
    for cell in trial_cells("quick", ["clel"]):
        run: Any = cell.run
        assert isinstance(run, Run) and run.evaluate.reference == "test"
        assert run.train.iterations == resolve(METHODS, "clel", "quick").train.iterations
    values = {(cell.run.config.lr, cell.run.config.beta) for cell in trial_cells("quick", ["clel"])}  # type: ignore
    assert values == {(lr, beta) for lr in (5e-4, 1e-3, 2e-3) for beta in (0.003, 0.01)}


def test_the_lowest_mean_over_the_seeds_is_chosen_and_a_failed_seed_is_out() -> None:
    cells, found = outcome(
        {0: (3.0, 1.0, 2.0), 1: (0.1, 0.1, None), 2: (1.5, 1.5, 1.8), 3: (9, 9, 9), 4: (8, 8, 8), 5: (7, 7, 7)}
    )
    rows = scored(cells, found)
    assert [row.score for row in rows[:3]] == [2.0, None, pytest.approx(1.6)]
    assert rows[0].spread == 1.0 and rows[2].spread == pytest.approx(math.sqrt(0.03))
    assert all(row.complete for row in rows)
    assert best(rows) is rows[2]
    text = trials_grid(rows, "quick")
    assert text.rows[2][-1].text.startswith("chosen")
    assert any("seed 102: diverged" in note for note in text.footnotes)


def test_nothing_is_chosen_before_every_trial_was_trained() -> None:
    cells, found = outcome({0: (3.0, 1.0, 2.0), 1: (0.1, 0.1)})
    rows = scored(cells, found)
    assert rows[1].trials[2] is None and not rows[1].complete
    assert best(rows) is None
    lines = about(rows, cells, "make tune")
    assert any(line.startswith("Waiting: Plain EBM") for line in lines)
    assert trials_grid(rows, "quick").rows[5][3].text == "not trained"


def test_where_no_trial_ended_well_nothing_is_chosen() -> None:
    cells, found = outcome(dict.fromkeys(range(6), (1.0, None, 1.0)))
    assert best(scored(cells, found)) is None


def test_the_file_keeps_every_trial(tmp_path: Path) -> None:
    _, found = outcome({0: (3.0, 1.25, None)})
    (tmp_path / "tuning.csv").write_text(as_csv(found.values()))
    assert read_trials(tmp_path / "tuning.csv") == found
    first, _, third = found.values()
    assert (first.score, third.score, third.status, third.reason) == (3.0, None, "diverged", "a reason")
    assert read_trials(tmp_path / "none.csv") == {}
    (tmp_path / "other.csv").write_text("run,score\n")
    with pytest.raises(ConfigError, match=r"other\.csv: columns are"):
        read_trials(tmp_path / "other.csv")


def test_what_the_projects_file_has_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, found = outcome({0: (3.0, 1.0, 2.0)})
    (tmp_path / "tuning.csv").write_text(as_csv(found.values()))
    monkeypatch.setattr(command, "KEPT", tmp_path / "tuning.csv")
    options = Tune(methods="plain", out=tmp_path / "out")
    assert len(command.to_do(options)) == len(cells) - 3 and len(command.cells_of(options)) == len(cells)
    assert len(command.to_do(replace(options, afresh=True))) == len(cells)
    paths = command.write(replace(options, keep=True), "make tune")
    assert {path.name for path in paths} == {"tuning.md", "tuning.tex", "tuning.csv", "tuning.png"}
    assert (tmp_path / "out/tune-quick-plain/tuning.csv").read_text() == (tmp_path / "tuning.csv").read_text()
    assert "15 runs are missing" in command.summary(options)


def test_a_sweep_of_trials_is_made_again_from_its_options(tmp_path: Path) -> None:
    options = Tune(methods="clel", afresh=True)
    kept = json.loads(json.dumps(command.stored(options)))
    artefact = artefact_of(kept)
    again = artefact.restored(kept, tmp_path)
    assert [c.run_name for c in artefact.cells_of(again)] == [c.run_name for c in command.cells_of(options)]
    assert artefact_of({}).__name__ == "experiments.table1.command"  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="did you mean 'tune'"):
        artefact_of({"artefact": "tnue"})


def test_unknown_names_are_told() -> None:
    for profile, methods, message in [
        ("qiuck", [], "did you mean 'quick'"),
        ("quick", ["celel"], "did you mean 'clel'"),
        ("paper", [], "unknown profile with trials 'paper'"),
    ]:
        with pytest.raises(ConfigError, match=message):
            trial_cells(profile, methods)


@pytest.mark.parametrize("method", QUICK)
@pytest.mark.parametrize(("profile", "dataset"), KEPT_OF)
def test_the_preset_is_the_best_of_the_trials_that_were_kept(profile: str, dataset: str | None, method: str) -> None:
    cells = trial_cells(profile, [method], dataset=dataset)
    kept = read_trials(KEPT)
    rows = by_method(scored(cells, kept_of(cells, kept)))[method]
    if not all(row.complete for row in rows):
        pytest.skip(f"the trials of {method} are not complete yet")
    chosen = best(rows)
    assert chosen is not None, f"no trial of {method} ended well with every seed; widen its grid"
    trial = dict(zip([row.row for row in rows], GRIDS[profile][method].trials, strict=True))[chosen.row]
    assert at_trial(profile, method, trial), f"{method}: the trials choose {chosen.row}; the preset has other values"


def test_the_kept_file_has_trials_of_the_grid_alone() -> None:
    cells = [c for profile, dataset in KEPT_OF for c in trial_cells(profile, dataset=dataset)]
    known = {c.run_name: (c.row, str(c.seed), identity(c.measured)) for c in cells}
    kept = read_trials(KEPT).values()
    for trial in kept:
        assert known.get(trial.run) == (trial.row, trial.seed, trial.measured), f"{trial.run} is no present trial"
    assert all(len({t.features_identity for t in kept if t.profile == profile}) <= 1 for profile, _ in KEPT_OF)
    assert not any(trial.git_dirty == "True" for trial in kept)


def test_a_score_of_another_measure_does_not_count() -> None:
    cells, found = outcome({0: (3.0, 1.0, 2.0)})
    other = {name: replace(trial, measured="0" * 8) for name, trial in found.items()}
    assert kept_of(cells, found) == found and kept_of(cells, other) == {}


def test_keeping_leaves_trials_of_other_profiles_and_is_refused_where_it_means_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, found = outcome({0: (3.0, 1.0, 2.0)})
    other = replace(next(iter(found.values())), profile="evening", run="another")
    (tmp_path / "tuning.csv").write_text(as_csv([*found.values(), other]))
    monkeypatch.setattr(command, "KEPT", tmp_path / "tuning.csv")
    command.write(Tune(methods="clel", keep=True, out=tmp_path / "out"), "make tune")
    assert read_trials(tmp_path / "tuning.csv") == {"another": other, **found}
    for options in (Tune(profile="smoke", keep=True), Tune(cluster="slurm", keep=True)):
        with pytest.raises(ConfigError, match="KEEP=1 keeps trials that mean something"):
            command.main(options)
    with pytest.raises(ConfigError, match=r"data sets with a name.*DATASET is d1/mine\.npz"):
        command.main(Tune(dataset="d1/mine.npz", keep=True))


def test_a_plan_of_nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    _, found = outcome(dict.fromkeys(range(6), (1.0, 1.0, 1.0)))
    (tmp_path / "tuning.csv").write_text(as_csv(found.values()))
    monkeypatch.setattr(command, "KEPT", tmp_path / "tuning.csv")
    assert command.main(Tune(methods="plain", plan=True, out=tmp_path / "out")) == 0
    assert "nothing was run" in capsys.readouterr().out
