"""Variants of a row: what is typed, the rows it makes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from baselines import METHODS
from clel.config import ConfigError
from clel.runs.config import Run, resolve
from experiments.slurm.resources import load_needs, needs_of
from experiments.sweep.grid import table1_cells
from experiments.sweep.naming import Named, table1_meaning, table_name
from experiments.sweep.variants import (
    changes_in_words,
    combinations,
    keys,
    label,
    parse_settings,
    value_at,
    with_changes,
)


def test_what_is_typed() -> None:
    settings = parse_settings("langevin.steps=10, 30; views.crop_scale=[0.5,1],[0.2,1] ;langevin.gradient_clip=none")
    assert [(s.key, s.values) for s in settings] == [
        ("langevin.steps", (10, 30)),
        ("views.crop_scale", ([0.5, 1], [0.2, 1])),
        ("langevin.gradient_clip", (None,)),
    ]
    assert parse_settings("") == parse_settings(" ; ") == ()
    found = combinations(parse_settings("a=1,2; b=x,y"))
    assert [dict(c) for c in found] == [{"a": a, "b": b} for a in (1, 2) for b in ("x", "y")]
    assert label(found[1]) == "a=1,b=y" and changes_in_words(found[1]) == "a 1, b y"


@pytest.mark.parametrize("text", ["lr", "lr=", "=1", "lr=1,,2", "lr=1; lr=2", "lr=0.001,1e-3"])
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="SET: "):
        parse_settings(text)


def test_settings_reach_the_run_and_change_its_name() -> None:
    run = resolve(METHODS, "clel", "quick")
    other = with_changes(
        run, (("langevin.steps", 10), ("train.iterations", 5), ("views.crop_scale", [0.2, 1]), ("lr", 1))
    )
    assert (other.config.langevin.steps, other.train.iterations, other.config.lr) == (10, 5, 1.0)
    assert other.config.views.crop_scale == (0.2, 1.0)
    assert other.name != run.name and other.evaluate == run.evaluate
    assert value_at(other, "langevin.steps") == 10 and value_at(other, "train.iterations") == 5
    # what changes no result is no setting
    assert "train.log_every" not in keys(run) and "train.iterations" in keys(run)


def test_values_are_checked_like_any_configuration() -> None:
    run = resolve(METHODS, "clel", "quick")
    for key, value, message in [
        ("lr", "fast", "SET: lr is 'fast'"),
        ("engine", "fats", "did you mean 'fast'"),
        ("langevin.steps", -1, "steps is -1"),
        ("langevin.stpes", 3, r"clel has no setting 'langevin.stpes'; did you mean 'langevin.steps'"),
    ]:
        with pytest.raises(ConfigError, match=message):
            with_changes(run, ((key, value),))


def test_a_row_for_each_value_beside_the_default() -> None:
    cells = [
        c
        for c in table1_cells("smoke", 2, ["plain", "clel"], settings=parse_settings("langevin.steps=10,30; beta=0.1"))
        if isinstance(c.run, Run)
    ]
    rows = list(dict.fromkeys((cell.row, cell.title) for cell in cells))
    # quick has 30 steps anyway, and the plain EBM has no beta
    assert rows == [
        ("plain", "Plain EBM"),
        ("plain[langevin.steps=10]", "Plain EBM (langevin.steps 10)"),
        ("clel", "CLEL"),
        ("clel[langevin.steps=10,beta=0.1]", "CLEL (langevin.steps 10, beta 0.1)"),
        ("clel[langevin.steps=30,beta=0.1]", "CLEL (langevin.steps 30, beta 0.1)"),
    ]
    assert len({cell.run_name for cell in cells}) == len(cells) == 10
    assert [cell.published for cell in cells if "[" in cell.row] == [None] * 6
    run: Any = cells[-1].run
    assert (run.config.beta, run.config.langevin.steps, run.seed, run.train.iterations) == (0.1, 30, 1, 4)


def test_a_setting_of_no_method_is_refused_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match=r"no setting 'betta' of clel; did you mean 'beta'"):
        table1_cells("smoke", 1, ["clel"], settings=parse_settings("betta=1"))


def test_variants_have_a_folder_of_their_own() -> None:
    names = [table_name(Named(methods="clel", set=text)) for text in ("", "lr=0.1", "lr=0.1,0.2", "langevin.steps=3")]
    assert len(set(names)) == 4
    assert all("/" not in name and " " not in name for name in names)


def test_the_same_settings_are_one_run_and_one_folder_however_they_are_typed() -> None:
    one, other = Named(methods="clel", set="lr=0.1, 0.2"), Named(methods="clel", set="lr=1e-1,0.2;")
    assert table_name(one) == table_name(other)
    assert table1_meaning(one, "").given == table1_meaning(other, "").given
    cells = table1_cells("smoke", 2, ["clel"], settings=parse_settings("engine=exact,float32"), engine="exact")
    names = [cell.run_name for cell in cells]
    assert len(set(names)) == len(names)


def test_a_variant_asks_a_cluster_for_what_its_row_asks() -> None:
    needs = load_needs()
    cells = {
        c.row: c for c in table1_cells("paper", 1, ["clel:large"], dataset="digits", settings=parse_settings("lr=0.5"))
    }
    assert needs_of(cells["clel:large[lr=0.5]"], needs) == needs_of(cells["clel:large"], needs)
