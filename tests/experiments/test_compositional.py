"""make compositional: what is asked, what came of it, the tables and figures, and a walk to the finished table."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from clel.commands import cli
from clel.config import ConfigError
from clel.data import DataError, Images
from clel.data.sets import shapes
from clel.data.sets.shapes import ATTRIBUTES
from clel.features import classifier, spaces
from clel.sampling.attributes import shown
from experiments.commands.artefacts import artefact_of
from experiments.compositional.asked import DATA, SHAPES, composed_of, conditions, conjunction_of, subsets, triples_of
from experiments.compositional.command import ARTEFACT
from experiments.compositional.judge import attribute_judge
from experiments.compositional.measure import shares_shown
from experiments.compositional.options import Compositional, drawing_of
from experiments.compositional.rows import as_csv, bars, drop, rows_of, share
from experiments.compositional.settings import MARGIN, Composing, Drawing, best, scores_of, tried
from experiments.compositional.settings import read_sweep as read_kept
from experiments.compositional.table import by_attribute, by_number, figure_4b, probed_values
from experiments.measured.artefact import Found
from experiments.reading.published import reported
from experiments.sweep.store import Stored
from tests.few import MeanColour

pytestmark = pytest.mark.filterwarnings("ignore::clel.metrics.frechet.SingularCovariance")
TRIPLE = ("red", "small", "dark")
CHOSEN = SHAPES.unswept
PROTOCOL = Composing(CHOSEN, (TRIPLE,), (), 100)


def real(n: int = 600) -> Images:
    """Images of shapes at 16x16."""
    from clel.data.side import averaged

    generator = torch.Generator().manual_seed(0)
    labels = {name: torch.randint(len(values), (n,), generator=generator) for name, values in ATTRIBUTES.items()}
    pixels = shapes.render(labels, generator)
    images = Images(pixels, labels["shape"], "shapes", "test", ATTRIBUTES["shape"], labels, ATTRIBUTES)
    return averaged(images, 16)


def found_of(values: dict[str, Any] | None, seed: int = 0, protocol: Composing = PROTOCOL) -> Found:
    (cell,) = ARTEFACT.cells_of(Compositional())
    run: Any = cell.run
    return Found(replace(cell, run=replace(run, seed=seed)), Stored(cell.run_name, "ok"), protocol, values)


def made_up(shares_of: dict[tuple[str, ...], Sequence[float]], chance: float = 0.01) -> dict[str, Any]:
    """A measurement in which what is asked for is shown in these shares, all at once in their product."""
    asked = []
    for words in conditions([TRIPLE]):
        each = list(shares_of.get(words, [0.5] * len(words)))
        values = {value: 0.25 for name in ("size", "colour", "background") for value in ATTRIBUTES[name]}
        values |= {w: e for w, e in zip(words, each, strict=True) if w in values}
        asked.append(
            {"words": list(words), "samples": 100, "each": each, "all": float(np.prod(each)), "values": values}
            | {"legible": 0.9, "chance": chance if len(words) == 3 else 0.25, "distance": 1.0, "distance_unasked": 2.0}
        )
    known = {"size": 0.9, "colour": 1.0, "background": 1.0}
    names = {value: name for name in known for value in ATTRIBUTES[name]}
    return {"judge": "made up", "accuracy": known, "h": known, "u": known, "features": "f", "asked": asked} | {
        "attribute_of": names
    }


def test_every_declared_triple_can_be_had() -> None:
    images = real(20)
    for triple in SHAPES.triples:
        assert len(conjunction_of(triple, images)) == 3
        assert len({a.attribute for a in conjunction_of(triple, images)}) == 3
    values = {value for triple in SHAPES.triples for value in triple}
    assert values == {*ATTRIBUTES["colour"], *ATTRIBUTES["size"], *ATTRIBUTES["background"]}
    assert not values & set(SHAPES.alone) and conjunction_of(SHAPES.alone[:1], images)


def test_all_subsets_are_asked_for_once_and_each_value_negated() -> None:
    every = conditions([TRIPLE, ("red", "square", "dark")], ["top", "red"])
    assert len(every) == len(set(every)) and every[0] == ()
    assert set(subsets(TRIPLE)) <= set(every) and ("not red",) in every and ("not square",) in every
    assert len(every) == 8 + 4 + 4 + 1, "of the second triple its subsets with square, NOT of four, and top"
    assert conditions([TRIPLE], ["top"], whole=True) == [(), TRIPLE]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profile": "evening"}, "profile evening has no images with attributes: give PROFILE=smoke or quick or paper"),
        ({"dataset": "digits"}, "digits has no attributes to compose"),
        ({"asked": "red,circle"}, "'red, circle' is not three attributes"),
        ({"asked": "red,Red,dark"}, "red, Red, dark: expected three different attributes"),
        ({"asked": "red,circel,dark"}, "did you mean 'circle'"),
        ({"asked": "red,blue,dark"}, "red and blue: an image has one colour"),
        ({"weight": -1.0}, "WEIGHT is -1; expected 0 or more"),
        ({"start": "nosie"}, "unknown start 'nosie'; did you mean 'noise'"),
        ({"samples": 1}, "SAMPLES is 1"),
        ({"sweep": True, "weight": 0.5}, "the sweep tries all settings"),
        ({"sweep": True, "seeds": 4}, "a sweep has the seeds 100, 101, 102"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(shapes, "COUNTS", {"train": 50, "test": 20})
    with pytest.raises(ConfigError, match=message) as caught:
        ARTEFACT.main(Compositional(**{"out": tmp_path, **options}))
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_names_are_written_as_the_data_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "COUNTS", {"train": 50, "test": 20})
    options = ARTEFACT.completed(Compositional(asked="RED, circle,not Large ; blue,square,dark"))
    assert options.asked == "red, circle, not large; blue, square, dark"
    assert triples_of(options.asked, ())[0] == ("red", "circle", "not large")


def test_reported_seeds_chose_nothing() -> None:
    seeds = [cell.seed for cell in ARTEFACT.cells_of(Compositional(seeds=3))]
    tuning = [cell.seed for cell in ARTEFACT.cells_of(Compositional(seeds=3, sweep=True))]
    assert seeds == [0, 1, 2] and tuning == [100, 101, 102]
    (cell,) = ARTEFACT.cells_of(Compositional())
    assert [p.drawing for p in ARTEFACT.protocols(Compositional(sweep=True), cell)] == tried(cell.measured.steps)
    assert drawing_of(Compositional()) == CHOSEN in tried(cell.measured.steps)
    assert drawing_of(Compositional(weight=0.5, start="samples")) == replace(CHOSEN, weight=0.5, start="samples")


def test_the_rule_takes_the_nearest_of_the_surest() -> None:
    a, b, c = (Drawing(weight, 30) for weight in (0.1, 0.2, 0.3))
    assert best({a: (0.80, 3.0), b: (0.80 - MARGIN / 2, 1.0), c: (0.5, 0.1)}) == b


def test_real_images_show_what_they_have() -> None:
    images = real()
    judge = attribute_judge(images, images, ["colour", "shape"])
    assert judge.accuracy == {"colour": 1.0, "shape": 1.0}
    asked = conjunction_of(("red", "circle"), images)
    having = images.pixels[shown(asked, images.attributes, images.values).all(1)]
    values = shares_shown(asked, having, judge, images)
    assert values["each"] == [1, 1] and values["all"] == 1 and values["legible"] == 1
    assert values["words"] == ["red", "circle"] and values["values"]["blue"] == 0


def test_bars_count_what_reaches_them() -> None:
    good = made_up({(v,): [0.9] for v in TRIPLE} | {a: [0.85] * len(a) for a in subsets(TRIPLE) if len(a) > 1})
    outcome = [(bar.reached, bar.of) for bar in bars(rows_of([found_of(good)]), [TRIPLE])]
    assert outcome == [(3, 3), (12, 12), (1, 1)]  # one value before in 6 additions, two before in 3
    bad = made_up({("red",): [0.5], ("red", "small"): [0.3, 0.9], TRIPLE: [0.2, 0.2, 0.2]})
    rows = rows_of([found_of(bad)])
    assert drop(rows, ("red",), ("red", "small"), "red") == pytest.approx(0.2)
    alone, added, all_three = bars(rows, [TRIPLE])
    assert (alone.reached, alone.of) == (0, 3), "three times a base rate of 0.25 is 0.75"
    assert (added.reached, added.of) == (6, 12) and added.worst == "red, small, dark: small by 0.70"
    assert all_three.reached == 0 and "0.8" in all_three.outcome


def test_tables_of_several_runs() -> None:
    found = [found_of(made_up({TRIPLE: [0.9] * 3}), 0), found_of(made_up({TRIPLE: [0.7] * 3}), 1), found_of(None, 2)]
    rows = rows_of(found)
    assert rows[TRIPLE].n == 2 and rows[TRIPLE].each == pytest.approx((0.8,) * 3)
    assert rows[TRIPLE].all == pytest.approx((0.9**3 + 0.7**3) / 2)
    assert share(rows, TRIPLE, "not red") == pytest.approx(0.2)
    table = by_number(rows, [TRIPLE], "f")
    assert len(table.headers) <= 7 and [row[0].text for row in table.rows][:4] == [
        "nothing",
        "one attribute",
        "two attributes",
        "three attributes",
    ]
    assert table.rows[3][2].text == "0.80" and table.rows[3][6].text == "1.00 (2.00)"
    held = [one.values for one in found if one.values]
    attributes = by_attribute(rows, [TRIPLE], probed_values(held, TRIPLE))
    assert len(attributes.headers) <= 7 and attributes.rows[0][0].text == "red (colour)"
    assert attributes.rows[1][1].text == "0.90" and attributes.rows[0][6].text == "0.80"
    csv = pd.read_csv(io.StringIO(as_csv(found)))
    assert len(csv) == 2 * len(conditions([TRIPLE])) and set(csv["seed"]) == {0, 1}


def test_the_papers_figure_is_printed_as_published() -> None:
    grid = figure_4b({})
    unconditional = reported("compositional-unconditional", "p_young", "celeba64")
    assert unconditional is not None and grid.rows[0][1].text == unconditional.printed == "0.80"
    assert [cell.text for cell in grid.rows[3]] == ["Young and Female and Smiling", "0.98", "0.98", "0.93"]
    assert "sslneurips22" in grid.footnotes[0] and len(grid.headers) == 4


def walk(out: Path, **more: Any) -> tuple[Compositional, Path]:
    given = {"samples": 6, **more}
    options = Compositional(profile="smoke", cluster="debug", device="cpu", out=out, **given)
    assert ARTEFACT.main(options) == 0
    return options, ARTEFACT.folder(options)


@pytest.fixture
def quickly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, few images, and classifiers of three iterations."""
    monkeypatch.setenv("CLEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shapes, "COUNTS", {"train": 200, "test": 100})
    monkeypatch.setattr(classifier, "ITERATIONS", 2)


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_a_walk_to_the_finished_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = "red,circle,dark"
    options, folder = walk(tmp_path, asked=asked)
    page = (folder / "compositional.md").read_text()
    assert "| three attributes | 1 |" in page and "read exactly from pixels" in page and "Figure 4b" in page
    assert "PROFILE=smoke" in page and "Seeds:** 0" in page
    for name in ("compositional.tex", "figures/compositional.png", "figures/compositional_samples.png"):
        assert (folder / name).stat().st_size > 500
    csv = pd.read_csv(folder / "compositional.csv")
    assert len(csv) == 8 + 3 and (csv["samples"] == 6).all() and csv["all"].between(0, 1).all()
    assert csv.set_index("asked")["chance"]["red"] == pytest.approx(1 / 6, abs=0.08)
    assert "Composed attributes" in capsys.readouterr().out
    # measured once: a report makes the same page of what is kept, and other settings are another measurement
    kept = list(tmp_path.glob("runs/*/measured/*.json"))
    assert len(kept) == 1 and ARTEFACT.main(replace(options, report=True)) == 0
    assert (folder / "compositional.md").read_text() == page and list(tmp_path.glob("runs/*/measured/*.json")) == kept
    with pytest.raises(ConfigError, match="has compositional of other options"):
        ARTEFACT.main(replace(options, weight=0.5))
    # the same run by the command line; of alternatives each chain has one
    (run,) = (path.parent.parent for path in kept)
    ask = ["sample", str(run), "--n", "4", "--steps", "1", "--out", str(tmp_path / "x.npy")]
    assert cli.main([*ask, "--with", "red/blue,circle", "--without", "large"]) == 0
    said = capsys.readouterr().err
    assert "a mixture of chains" in said and "red, circle, not large | blue, circle, not large" in said
    assert np.load(tmp_path / "x.npy").shape == (4, 3, 16, 16)
    assert cli.main([*ask, "--with", "red,blue"]) == 2
    assert "red and blue: an image has one colour; for one or the other write red/blue" in capsys.readouterr().err
    again = artefact_of(ARTEFACT.stored(options))
    assert again is ARTEFACT and ARTEFACT.restored(ARTEFACT.stored(options), tmp_path).asked == asked


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_a_walk_through_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments.compositional import command, options, settings, sweep

    for module in (options, settings, sweep):
        monkeypatch.setattr(module, "KEPT", tmp_path / "sweep.csv")
    monkeypatch.setattr(command, "tried", lambda steps: [Drawing(0.0, 1), Drawing(1.0, 1, "samples", False)])
    with pytest.raises(ConfigError, match="KEEP=1 is for make compositional-sweep"):
        walk(tmp_path, keep=True)
    _, folder = walk(tmp_path, asked="red,circle,dark", sweep=True, keep=True)
    lines = read_kept(tmp_path / "sweep.csv")
    assert [line.drawing for line in lines] == command.tried(1) and {line.seed for line in lines} == {100}
    found, why = options.chosen_of(Compositional(dataset=lines[0].dataset))
    assert found == best(scores_of(lines)) and "chosen by a sweep on other seeds" in why
    assert options.chosen_of(Compositional(dataset="celeba64"))[0] == DATA["celeba64"].unswept
    page = (folder / "compositional.md").read_text()
    assert "the rule chooses" in page and "Seeds:** 100" in page and folder.name.endswith("sweep")
    assert len(pd.read_csv(folder / "compositional.csv")) == 2 * 2, "nothing, and the triple"


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_a_walk_on_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CelebA's preparation, preset and judge on a few made-up files."""
    from tests.clel.data.celeba_files import write_celeba

    monkeypatch.setenv("CLEL_DATA", str(tmp_path / "data"))
    write_celeba(tmp_path / "data" / "celeba64", monkeypatch)
    monkeypatch.setitem(spaces.FEATURES, "lite0", lambda *_: MeanColour())
    _, folder = walk(tmp_path, dataset="celeba64", samples=2)
    page = (folder / "compositional.md").read_text()
    assert "classifier-v1, one an attribute; right on held-out images: Young " in page.replace("\\", "")
    assert "| nothing | 0.80<sup>a</sup> |" in page or "| nothing | 0.80 |" in page
    assert {"Young", "Female", "Smiling"} <= {
        c.removeprefix("shows ") for c in pd.read_csv(folder / "compositional.csv")
    }


@pytest.mark.usefixtures("quickly")
def test_faces_without_their_attributes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.clel.data.celeba_files import write_celeba

    monkeypatch.setenv("CLEL_DATA", str(tmp_path / "data"))
    write_celeba(tmp_path / "data" / "celeba64", monkeypatch, attributes=False)
    with pytest.raises(DataError, match=r"Looked for list_attr_celeba\.txt"):
        walk(tmp_path, dataset="celeba64")
    assert not (tmp_path / "runs").exists()


def test_papers_size_is_the_papers_figure() -> None:
    (cell,) = ARTEFACT.cells_of(ARTEFACT.completed(Compositional(profile="paper", plan=True)))
    assert cell.dataset == "celeba64" and cell.row == "clel:celeba64"
    assert composed_of("celeba64").triples == (("Young", "Female", "Smiling"),)
    assert set(DATA) == {"shapes", "celeba64"}
