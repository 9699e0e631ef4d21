"""The measured columns of Table 1: which there are, and the uncertainty that a cell states."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.sweep.store import frame, load_records
from experiments.table1.report import describe_table, runs_csv
from experiments.table1.table import Table, table1


def build(fake: Any, cells: list) -> Table:
    return table1(cells, load_records(fake.runs_dir, [cell.run_name for cell in cells]))


def cell_of(table: Table, heading: str, row: int = 0) -> str:
    (place,) = [i for i, h in enumerate(table.grid.headers) if heading in " ".join(h.lines)]
    return table.grid.rows[row][place].text


def write(fake: Any, cell: Any, distance: float, features: str = "classifier-v1 (digits)", **metrics: Any) -> None:
    record = fake.record(cell, distance)
    protocol = {**record["protocol"], "features": features, "neighbours": 3, "density_neighbours": 5}
    fake.write(cell, distance, metrics={**record["metrics"], **metrics}, protocol=protocol)


INTERVAL = {"fid_se_fresh": 0.1, "fid_low_fresh": 2.804, "fid_high_fresh": 3.196}


def test_one_run_has_its_bootstrap_interval(fake: Any) -> None:
    (cell,) = fake.cells("a", "A")
    write(fake, cell, 3.0, **INTERVAL)
    assert cell_of(build(fake, [cell]), "fresh chains") == "3.00 [2.80, 3.20] (n=1)"


def test_several_runs_have_their_spread_instead(fake: Any) -> None:
    cells = fake.cells("a", "A", 2)
    for cell, distance in zip(cells, (2.0, 4.0), strict=True):
        write(fake, cell, distance, **INTERVAL)
    table = build(fake, cells)
    assert cell_of(table, "fresh chains") == "3.00 ± 1.41 (n=2)"
    assert "which knows nothing of other seeds" in " ".join(table.grid.footnotes)


def test_spread_over_sampling_stands_apart_from_that_over_training(fake: Any) -> None:
    cells = fake.cells("a", "A", 2)
    for cell, deviation in zip(cells, (0.1, 0.3), strict=True):
        sampling = {"fid_sampling_mean_fresh": 3.0, "fid_sampling_std_fresh": deviation, "sampling_seeds_fresh": 5}
        write(fake, cell, 3.0, **sampling)
    assert cell_of(build(fake, cells), "fresh chains") == "3.00 ± 0.00; over 5 sampling seeds 3.00 ± 0.20 (n=2)"


@pytest.mark.parametrize(
    ("metric", "heading", "shown"),
    [
        ("fid_paper", "paper protocol", "5.25"),
        ("fid_infinity_fresh", "n → ∞", "5.25"),
        ("inception_score_fresh", "Inception Score", "5.25"),
        ("density_fresh", "density", "5.25"),
        ("coverage_fresh", "coverage", ""),
    ],
)
def test_what_nothing_measured_has_no_column(fake: Any, metric: str, heading: str, shown: str) -> None:
    first, second = fake.cells("a", "A"), fake.cells("b", "B")
    write(fake, first[0], 3.0)
    write(fake, second[0], 3.0)
    table = build(fake, first + second)
    assert not any(heading in " ".join(h.lines) for h in table.grid.headers)
    extra = {"density_fresh": 5.25} if heading == "coverage" else {metric: 5.25}
    write(fake, second[0], 3.0, **extra)
    table = build(fake, first + second)
    assert cell_of(table, heading, 1) == shown
    assert cell_of(table, heading, 0) == ""
    assert {len(row) for row in table.grid.rows} == {len(table.grid.headers)}


def test_k_is_named(fake: Any) -> None:
    (cell,) = fake.cells("a", "A")
    write(fake, cell, 3.0, density_fresh=1.0, coverage_fresh=0.5)
    notes = build(fake, [cell]).grid.footnotes
    assert "Precision and recall by k nearest neighbours, k = 3." in notes
    assert "Density and coverage by k nearest neighbours, k = 5." in notes


def test_inception_is_called_fid(fake: Any) -> None:
    (cell,) = fake.cells("a", "A", dataset="cifar10")
    write(fake, cell, 3.0, "inception-clean", kid_fresh=0.0125)
    table = build(fake, [cell])
    assert cell_of(table, "FID ↓ fresh chains") == "3.00 (n=1)"
    assert cell_of(table, "KID ↓ ×1000").startswith("12.50")


def test_seconds_of_several_machines_say_so(fake: Any) -> None:
    cells = fake.cells("a", "A", 2)
    for cell in cells:
        write(fake, cell, 3.0)
    assert "kinds of machine" not in " ".join(build(fake, cells).grid.footnotes)
    origin = fake.record(cells[1])["provenance"] | {"device": "another"}
    fake.write(cells[1], 3.0, provenance=origin)
    assert "Mean over runs on 2 kinds of machine: another; cpu." in build(fake, cells).grid.footnotes


def test_training_seconds_have_a_mark_where_others_were_at_work(fake: Any) -> None:
    """More than a tenth of a core in any of a row's runs; what was not recorded is counted, and has no mark."""
    cores = {"quiet": (0.02, 0.1), "busy": (0.0, 1.26), "older": (None, None)}
    rows = {row: fake.cells(row, row.title(), 2) for row in cores}
    for row, cells in rows.items():
        for cell, number in zip(cells, cores[row], strict=True):
            training = fake.record(cell)["training"] | ({} if number is None else {"busy_cores": number})
            fake.write(cell, 3.0, training=training)
    table = build(fake, [cell for cells in rows.values() for cell in cells])
    headings = [" ".join(header.lines) for header in table.grid.headers]
    seconds = [row[headings.index("training s")] for row in table.grid.rows]
    (note,) = [text for text in table.grid.footnotes if "of a core busy" in text]
    assert [cell.marks for cell in seconds] == [(), (table.grid.footnotes.index(note),), ()]
    assert "1.3 cores on average" in note and "Of 2 runs of the table it was not recorded." in note
    assert list(table.values["busy_cores"].round(2))[:2] == [0.06, 0.63]


def test_costs_are_also_images_and_gradients(fake: Any) -> None:
    """What does not hang on the machine: in thousands, to a tenth where they are few."""
    small, large = fake.cells("a", "A"), fake.cells("b", "B")
    training = fake.record(small[0])["training"]
    fake.write(small[0], 3.0, training=training | {"images": 57_600, "gradient_evaluations": 27_040})
    fake.write(large[0], 3.0, training=training | {"images": 6_400_000, "gradient_evaluations": None})
    table = build(fake, small + large)
    assert [cell_of(table, "training images, thousands", row) for row in (0, 1)] == ["57.6", "6,400"]
    assert [cell_of(table, "gradient evaluations, thousands", row) for row in (0, 1)] == ["27.0", ""]
    table = build(fake, large)
    assert not any("gradient" in " ".join(h.lines) for h in table.grid.headers)


FURTHER = {"also": "lite0", "lite0_features": "EfficientNet-Lite0", "lite0_features_identity": "1" * 64}
FURTHER |= {"lite0_resizing": "to 96x96"}


def test_a_further_feature_space_has_columns_of_its_own(fake: Any) -> None:
    (cell,) = fake.cells("a", "A")
    record = fake.record(cell)
    metrics = {**record["metrics"], "lite0_fid_fresh": 562.25, "lite0_kid_fresh": 0.625}
    metrics |= {"lite0_fid_low_fresh": 550.0, "lite0_fid_high_fresh": 570.0}
    protocol = {**record["protocol"], "features": "inception-clean", **FURTHER}
    fake.write(cell, metrics=metrics, protocol=protocol)
    table = build(fake, [cell])
    assert cell_of(table, "FID ↓ fresh chains") == "3.00 (n=1)"
    assert cell_of(table, "Fréchet distance, EfficientNet-Lite0 ↓ fresh chains") == "562.2 [550.0, 570.0]"
    assert cell_of(table, "KID ↓ EfficientNet-Lite0") == "0.62"
    assert table.values.loc["a", "lite0_fid_fresh_mean"] == 562.25
    assert "must not be compared with each other" in " ".join(table.grid.footnotes)


def test_the_page_says_what_else_samples_were_measured_in(fake: Any) -> None:
    cells = fake.cells("a", "A", 2)
    for cell, identity in zip(cells, "12", strict=True):
        protocol = {**fake.record(cell)["protocol"], **FURTHER, "lite0_features_identity": identity * 64}
        fake.write(cell, protocol=protocol)
    runs = load_records(fake.runs_dir, [cell.run_name for cell in cells])
    lines = describe_table(cells, runs)
    assert "also in features EfficientNet-Lite0" in lines[1] and "resizing for EfficientNet-Lite0 to 96x96" in lines[1]
    assert "rows differ in identity of EfficientNet-Lite0" in lines[-1]
    assert "protocol_lite0_features" in runs_csv(cells, frame(runs))


@pytest.mark.parametrize(
    ("features", "heading"),
    [
        ("inception-clean", "FID ↓ fresh chains"),
        ("EfficientNet-Lite0", "Fréchet distance, EfficientNet-Lite0 ↓ fresh chains"),
        (
            "classifier-v1 (digits)",
            "Fréchet distance ↓ fresh chains classifier-v1 (digits) features, not Inception FID",
        ),
    ],
)
def test_only_inceptions_distances_are_called_fid(fake: Any, features: str, heading: str) -> None:
    (cell,) = fake.cells("a", "A")
    write(fake, cell, 3.0, features)
    assert " ".join(build(fake, [cell]).grid.headers[1].lines) == heading


def test_figures_in_dinov2_stand_above_tables_in_dinov2_alone(fake: Any) -> None:
    (cell,) = fake.cells("a", "A", dataset="cifar10")
    for features, shown in (("dinov2-vitl14", True), ("dinov2-vits14", False), ("inception-clean", False)):
        write(fake, cell, 3.0, features)
        lines = " ".join(describe_table([cell], load_records(fake.runs_dir, [cell.run_name])))
        assert ("Real test set 31.07" in lines and "dgm-eval" in lines) == shown
