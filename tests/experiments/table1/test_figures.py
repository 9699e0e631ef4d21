"""Figures: the numbers they draw, what they show of failures, and that they leave no global state."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.printing.drawing import png
from experiments.printing.styles import MARKERS
from experiments.reading.samples import read_samples
from experiments.sweep.store import load_records
from experiments.table1 import figures, samples
from experiments.table1.curves import band_over_seeds, distance_curve, gap_curve
from experiments.table1.figures import distance_over_gradients, distance_over_steps, distance_over_time, energy_gap
from experiments.table1.learned import has_learned, learned
from experiments.table1.samples import GAP, sample_grids, sheet


def drawn(figure: Any) -> set[str]:
    """Labels of the legend and texts within the axes."""
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    return texts | {label for axes in figure.axes for label in axes.get_legend_handles_labels()[1]}


def add_to_evaluations(fake: Any, cell: Any, values: Callable[[dict], dict]) -> None:
    """Give each evaluation in the cell's log further values, which may be made of the line."""
    path = fake.runs_dir / cell.run_name / "log.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [line | values(line) if line["kind"] == "evaluation" else line for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_distance_over_time(fake: Any, grid: list) -> None:
    runs = load_records(fake.runs_dir, [cell.run_name for cell in grid])
    figure = distance_over_time(grid, runs)
    axes: Any = figure.axes[0]
    assert {"Method A (n=2/3)", "B & C_1 (n=2/3)", "Method C (n=3)"} <= drawn(figure)
    assert {"Uniform noise\n98.7", "Held-out real images\n0.4"} <= drawn(figure)
    assert axes.get_yscale() == "log"
    assert axes.get_xlabel() == "training time (s)"
    assert "not Inception FID" in axes.get_ylabel()
    (line,) = [line for line in axes.lines if line.get_label() == "Method C (n=3)"]
    seconds, mean = line.get_data()
    assert seconds[-1] == 200.0  # as far as all seeds go
    assert mean[0] == pytest.approx(60.0)
    assert mean[-1] == pytest.approx(3.0, rel=0.03)
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [tuple(map(float, np.ravel(line.get_data()))) for line in crosses] == [(201.0, 30.0)]


def test_distance_over_gradients(fake: Any) -> None:
    (with_chains,), (without,), (old,) = fake.cells("a", "A"), fake.cells("b", "B"), fake.cells("c", "C")
    for cell, each in ((with_chains, 30), (without, 0), (old, None)):
        fake.write(cell)
        fake.log(cell, [(5.0, 30.0), (10.0, 3.0)])
        if each is not None:
            add_to_evaluations(fake, cell, lambda line, each=each: {"gradient_evaluations": each * line["iteration"]})
    cells = [with_chains, without, old]
    figure = distance_over_gradients(cells, load_records(fake.runs_dir, [cell.run_name for cell in cells]))
    axes: Any = figure.axes[0]
    # the VAE takes none, and logs of older versions do not say
    assert axes.get_legend_handles_labels()[1] == ["A (n=1)"]
    (line,) = [line for line in axes.lines if line.get_label() == "A (n=1)"]
    last = json.loads((fake.runs_dir / with_chains.run_name / "log.jsonl").read_text().splitlines()[-1])
    assert line.get_data()[0][-1] == pytest.approx(30 * last["iteration"] / 1000)
    assert line.get_data()[1][-1] == pytest.approx(3.0)


def test_what_was_learned(fake: Any) -> None:
    first, second = fake.cells("a", "A", 2)
    (without,) = fake.cells("b", "B")
    for cell, factor in ((first, 1.0), (second, 1.2), (without, None)):
        fake.write(cell)
        fake.log(cell, [(5.0, 30.0), (10.0, 3.0)])
        if factor is not None:
            seen = {"knn_h": 0.5 * factor, "gradient_guidance": 0.2 * factor, "gradient_divergence": 2.0}
            add_to_evaluations(fake, cell, lambda line, seen=seen: seen)
    runs = load_records(fake.runs_dir, [cell.run_name for cell in (first, second, without)])
    assert has_learned(runs) and not has_learned({without.run_name: runs[without.run_name]})
    accuracy, ratio = learned([first, second, without], runs).axes
    assert accuracy.get_legend_handles_labels()[1] == ["A (n=2): h"]
    assert ratio.get_legend_handles_labels()[1] == ["A (n=2)"]
    assert accuracy.lines[0].get_ydata()[-1] == pytest.approx(0.55)  # type: ignore[index]
    assert ratio.lines[0].get_ydata()[-1] == pytest.approx(0.11)  # type: ignore[index]


def test_energy_gap(fake: Any, grid: list) -> None:
    runs = load_records(fake.runs_dir, [cell.run_name for cell in grid])
    figure: Any = energy_gap(grid, runs)
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "Method C (n=3)"]
    assert line.get_data()[1][0] == pytest.approx(1.0)
    assert line.get_data()[1][-1] == pytest.approx(1 / 3)


def test_figures_of_a_grid_without_runs(fake: Any) -> None:
    cells = fake.cells("a", "A", 2)
    runs = load_records(fake.runs_dir, [cell.run_name for cell in cells])
    for make in (distance_over_time, distance_over_gradients, energy_gap):
        assert "no run has logged this yet" in drawn(make(cells, runs))
    assert any("missing" in text for text in drawn(sample_grids(cells, runs)))


def test_single_evaluation_is_visible(fake: Any) -> None:
    (cell,) = fake.cells("a", "A")
    fake.write(cell)
    fake.log(cell, [(5.0, 3.0)])
    figure = distance_over_time([cell], load_records(fake.runs_dir, [cell.run_name]))
    (marker,) = [line.get_marker() for line in figure.axes[0].lines if line.get_label() == "A (n=1)"]
    assert marker in MARKERS


def rounds(*distances: float) -> dict:
    return {"rounds": [{"steps": 10 * (i + 1), "fid": d} for i, d in enumerate(distances)]}


def test_distance_over_steps(fake: Any) -> None:
    """Mean and band over seeds, the buffer's level, the other protocol; a run of other steps is left out."""
    cells = fake.cells("a", "A", 3)
    for cell, distances in zip(cells, ((8.0, 4.0), (6.0, 2.0), (1.0,)), strict=True):
        fake.write(cell, evaluations={"fresh": rounds(*distances), "paper": rounds(9.0, 9.0)})
    figure = distance_over_steps(cells, load_records(fake.runs_dir, [c.run_name for c in cells]))
    fresh, ring, paper, buffer = figure.axes[0].lines
    assert fresh.get_label() == "A (n=2/3)"
    assert list(fresh.get_xdata()) == [10, 20] and list(fresh.get_ydata()) == [7, 3]
    assert list(paper.get_ydata()) == [9, 9] and paper.get_linestyle() == "--"
    assert set(buffer.get_ydata()) == {1.5} and buffer.get_linestyle() == ":"
    assert (list(ring.get_xdata()), list(ring.get_ydata()), ring.get_fillstyle()) == ([20], [3], "none")


def test_chains_that_were_followed_go_on_from_the_ring(fake: Any) -> None:
    """Beyond the table's number of steps, over the runs that were followed alike; without steps a row is level."""
    cells, level = fake.cells("a", "A", 2), fake.cells("v", "V")
    for cell, distances in zip(cells, ((4.0, 8.0, 16.0), (2.0, 4.0, 4.0)), strict=True):
        further = [{"steps": steps, "fid": d} for steps, d in zip((20, 45, 100), distances, strict=True)]
        fake.write(cell, evaluations={"fresh": rounds(6.0, distances[0]), "beyond": {"rounds": further}})
    fake.write(level[0], evaluations={"fresh": {"rounds": [{"steps": 0, "fid": 5.0}]}})
    figure: Any = distance_over_steps(cells + level, load_records(fake.runs_dir, [c.run_name for c in cells + level]))
    axes = figure.axes[0]
    beyond = next(line for line in axes.lines if list(line.get_xdata()) == [20, 45, 100])
    assert list(beyond.get_ydata()) == [3, 6, 10]
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "Langevin steps of a fresh chain"
    (flat,) = [line for line in axes.lines if line.get_label() == "V (n=1)"]
    assert set(flat.get_ydata()) == {5.0}
    assert axes.get_legend_handles_labels()[1] == ["A (n=2)", "V (n=1)"]


def test_distance_over_steps_of_nothing(fake: Any, grid: list) -> None:
    runs = load_records(fake.runs_dir, [cell.run_name for cell in grid])
    figure = distance_over_steps(grid, runs)  # records of other versions have no rounds
    assert png(figure).startswith(b"\x89PNG")


def test_sample_grids(fake: Any, grid: list) -> None:
    (fake.runs_dir / "a-digits-s0-0a1b2c3d/evaluations/clean/samples.npy").write_bytes(b"torn")
    runs = load_records(fake.runs_dir, [cell.run_name for cell in grid])
    figure = sample_grids(grid, runs)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0] == "Uniform noise\ndistance 98.70"
    assert titles[4] == "Method C\ndistance 2.00 (seed 0)"
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 0, 1, 1, 0]
    assert figure.axes[2].texts[0].get_text().replace("\n", " ") == "samples.npy is not a readable array file"
    assert "out of memory" in figure.axes[5].texts[0].get_text().replace("\n", " ")


def test_colour_samples(fake: Any) -> None:
    (cell,) = fake.cells("a", "A")
    fake.write(cell)
    fake.samples(cell, channels=3, size=32)
    figure: Any = sample_grids([cell], load_records(fake.runs_dir, [cell.run_name]))
    assert figure.axes[0].images[0].get_array().shape == (8 * 34 - 2, 8 * 34 - 2, 3)


def test_png_is_reproducible_and_leaves_no_state(fake: Any, grid: list) -> None:
    runs = load_records(fake.runs_dir, [cell.run_name for cell in grid])
    first, second = (png(energy_gap(grid, runs), dpi=50) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")
    for module in (figures, samples):
        assert "pyplot" not in Path(str(module.__file__)).read_text()


def test_a_sheet_places_images_row_by_row() -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, 1, 2, 3), dtype=np.uint8)
    shown = sheet(images, gap=1)[..., 0]
    assert shown.shape == (2 * 3 - 1, 3 * 4 - 1)
    assert [shown[0, 0], shown[0, 4], shown[0, 8], shown[3, 0], shown[3, 4]] == [0, 1, 2, 3, 4]
    assert (shown[2] == GAP).all()
    assert (shown[:, 3] == GAP).all()
    assert (shown[3:, 8:] == GAP).all()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 1, 4, 4)),
        np.zeros((2, 4, 4), np.uint8),
        np.zeros((2, 2, 4, 4), np.uint8),
        np.zeros((0, 1, 4, 4), np.uint8),
        np.array([{}]),
    ],
)
def test_other_arrays_are_not_samples(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "samples.npy", array)
    with pytest.raises(ValueError, match=r"samples\.npy (holds|is not)"):
        read_samples(tmp_path / "samples.npy")
    with pytest.raises(ValueError, match=r"no none\.npy"):
        read_samples(tmp_path / "none.npy")


def test_curves_ignore_what_is_not_a_number() -> None:
    log = [
        {"kind": "evaluation", "seconds": 2.0, "fid_fresh": 4.0},
        {"kind": "evaluation", "seconds": 1.0, "fid_fresh": 8.0},
        {"kind": "evaluation", "seconds": 2.0, "fid_fresh": 5.0},
        {"kind": "evaluation", "seconds": 3.0, "fid_fresh": None},
        {"kind": "evaluation", "seconds": 4.0, "fid_fresh": 0.0},
        {"kind": "evaluation", "fid_fresh": 1.0},
        {"kind": "rollback", "seconds": 5.0, "fid_fresh": 1.0},
        {"kind": "train", "iteration": 1, "energy_positive": 0.5, "energy_negative": float("nan")},
        {"kind": "train", "iteration": 2, "energy_positive": 0.5, "energy_negative": 2.0},
        {"kind": "train", "iteration": 3, "energy_positive": 0.5},
    ]
    seconds, distance = distance_curve(log)
    assert (seconds.tolist(), distance.tolist()) == ([1.0, 2.0], [8.0, 5.0])
    steps, gap = gap_curve(log)
    assert (steps.tolist(), gap.tolist()) == ([2.0], [1.5])


def test_running_mean_keeps_a_constant() -> None:
    log = [{"kind": "train", "iteration": i, "energy_positive": 1.0, "energy_negative": 3.0} for i in range(500)]
    assert gap_curve(log)[1] == pytest.approx(np.full(500, 2.0))


def test_seeds_are_averaged_on_common_time() -> None:
    a = np.array([0.0, 10.0]), np.array([1.0, 100.0])
    b = np.array([2.0, 20.0]), np.array([10.0, 10.0])
    x, low, mean, high = band_over_seeds([a, b], logarithmic=True)
    assert (x[0], x[-1]) == (2.0, 10.0)
    assert (low[-1], mean[-1], high[-1]) == pytest.approx((10.0, 55.0, 100.0))
    middle = np.interp(5.0, x, mean)
    assert middle == pytest.approx((10.0 + 10.0) / 2, rel=1e-3)  # a is 10 half-way between 1 and 100
    assert band_over_seeds([a])[2][-1] == 100.0
