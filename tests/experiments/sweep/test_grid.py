"""The declared grid: which cells a profile has, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from baselines import METHODS
from clel.config import ConfigError
from clel.runs.config import Run
from clel.sampling.fresh import refuse_rounds
from experiments.runs.references import REFERENCES
from experiments.sweep.grid import PROFILES, table1_cells


def test_quick_has_every_method_once_a_seed_and_the_references() -> None:
    cells = table1_cells("quick", seeds=3, rates=False)
    rows = [cell.row for cell in cells]
    assert rows == ["noise"] * 3 + ["real"] + [name for name in METHODS for _ in range(3)]
    assert len({cell.run_name for cell in cells}) == len(cells)
    assert all(cell.published for cell in cells if cell.row not in REFERENCES)
    assert {cell.dataset for cell in cells} == {"digits"}


def test_paper_has_a_row_for_each_published_size() -> None:
    cells = table1_cells("paper", dataset="digits")
    assert [c.row for c in cells if c.row.startswith("clel")] == [
        "clel", "clel:multiscale", "clel:multiscale-256", "clel:large",
    ]  # fmt: skip
    assert {c.row: c.published for c in cells}["clel:large"] == "clel-large"


def test_chosen_rows() -> None:
    cells = table1_cells("paper", rows=["clel:large", "plain"], dataset="digits")
    assert [c.row for c in cells] == ["noise", "real", "clel:large", "plain"]
    run = cells[2].run
    assert isinstance(run, Run) and run.preset == "large"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"profile": "quik"}, "did you mean 'quick'"),
        ({"profile": "quick", "rows": ["igbm"]}, "did you mean 'igebm'"),
        ({"profile": "quick", "rows": ["clel:lagre"]}, "did you mean 'large'"),
        ({"profile": "quick", "seeds": 0}, "expected at least 1"),
        ({"profile": "quick", "minutes": 0}, "MINUTES is 0; expected minutes of training"),
    ],
)
def test_refusals(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        table1_cells(**arguments)


def test_every_method_gets_the_same_minutes() -> None:
    plain, timed = table1_cells("quick", 2, rates=True), table1_cells("quick", 2, rates=True, minutes=9)
    assert [c.row for c in plain] == [c.row for c in timed]
    for before, after in zip(plain, timed, strict=True):
        if isinstance(before.run, Run) and isinstance(after.run, Run):
            assert after.run == replace(before.run, train=replace(before.run.train, minutes=9))
            assert after.run_name != before.run_name
        else:
            assert after == before


@pytest.mark.parametrize("profile", PROFILES)
def test_seed_and_settings_name_a_run_and_device_does_not(profile: str) -> None:
    names = [c.run_name for c in table1_cells(profile, seeds=2, dataset="digits")]
    assert names == [c.run_name for c in table1_cells(profile, seeds=2, dataset="digits", device="cpu")]
    assert len(set(names)) == len(names)


def test_chains_are_followed_to_five_times_their_steps_and_given_images_have_none() -> None:
    for cell in table1_cells("quick"):
        assert cell.evaluate is not None
        assert cell.evaluate.beyond == 1 or cell.row not in REFERENCES
        # the VAE's samples take no steps
        assert cell.evaluate.further_steps[-1:] == ((5 * cell.evaluate.steps,) if _has_chains(cell.row) else ())
    for cell in table1_cells("small", dataset="digits"):
        assert cell.evaluate is not None and bool(cell.evaluate.further_steps) is _has_chains(cell.row)


def _has_chains(row: str) -> bool:
    return row in METHODS and METHODS[row].recipe("quick").evaluate.steps > 0


@pytest.mark.parametrize("profile", ["quick", "small", "paper"])
def test_a_protocol_that_disturbs_is_asked_only_of_methods_whose_authors_have_one(profile: str) -> None:
    """CLEL's release disturbs its chains in evaluation, and the plain EBM is its ablation; nobody else's is theirs."""
    asked = {"protocols": ("clean", "paper"), "sampling_seeds": 2}
    cells = [cell for cell in table1_cells(profile, evaluate=asked, dataset="digits") if isinstance(cell.run, Run)]
    assert {cell.run.method for cell in cells} == METHODS.keys()
    for cell in cells:
        assert isinstance(cell.run, Run) and cell.evaluate is not None
        refuse_rounds(METHODS[cell.run.method], cell.run.config, cell.evaluate)
        own = cell.run.method in ("clel", "plain")
        assert cell.evaluate.protocols == (("clean", "paper") if own else ("clean",))
        assert cell.evaluate.sampling_seeds == 2


@pytest.mark.parametrize("profile", PROFILES)
def test_presets_ask_for_no_protocol_that_their_method_does_not_have(profile: str) -> None:
    for cell in table1_cells(profile, dataset="digits"):
        if isinstance(cell.run, Run):
            refuse_rounds(METHODS[cell.run.method], cell.run.config, cell.run.evaluate)


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'paper'"):
        table1_cells("quick", evaluate={"protocols": ("clean", "papre")})


def test_with_several_seeds_quick_has_a_row_at_the_plain_ebms_learning_rate() -> None:
    rate = METHODS["plain"].recipe("quick").config.lr
    cells = [cell for cell in table1_cells("quick", 2) if isinstance(cell.run, Run)]
    rows = {cell.row: cell for cell in cells}
    for method in METHODS:
        own = METHODS[method].recipe("quick").config.lr
        beside = rows.get(f"{method}[lr={rate:g}]")
        assert (beside is None) == (own == rate), method
        if beside is not None:
            run: Any = beside.run
            assert run.config.lr == rate and beside.title == f"{METHODS[method].title} (lr {rate:g})"
            whole: Any = rows[method].run
            assert replace(run, config=replace(run.config, lr=own)).name == replace(whole, seed=run.seed).name
        said = rows[method].note
        assert bool(said) == (own == rate and method != "plain") and (not said or f"{rate:g}" in said)
    assert not any("[" in cell.row for cell in table1_cells("quick", 1))
    assert not any("[" in cell.row for cell in table1_cells("quick", 2, rates=False))
    assert any("[" in cell.row for cell in table1_cells("quick", 1, rates=True))
    assert not any("[" in cell.row for cell in table1_cells("small", 2))
    assert not any("[" in cell.row for cell in table1_cells("quick", 2, ["vae"]))
