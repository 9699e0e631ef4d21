"""Feature spaces that settings leave open, and that a user asks for in one text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from baselines import METHODS
from clel.config import ConfigError, identity
from clel.data.registry import names
from clel.evaluation.feature_choice import GREY, asked, in_colour, settled
from clel.methods.settings import EvaluateConfig
from clel.networks.weights import TORCHSCRIPT, weights_folder
from clel.runs.config import resolve
from experiments.sweep.grid import PROFILES, table1_cells
from experiments.sweep.naming import Named, table_name
from experiments.table1.command import Table1, command, evaluate_changes

AUTO = EvaluateConfig(features="auto")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One without Inception's weights."""
    monkeypatch.setenv("CLEL_CACHE", str(tmp_path))
    return tmp_path


def put_weights() -> None:
    weights_folder().mkdir(parents=True)
    (weights_folder() / TORCHSCRIPT.file).write_bytes(b"whatever: what is wrong with it is said where it is opened")


def test_auto_follows_the_data_set_and_the_weights_that_are_there(cache: Path) -> None:
    def spaces(dataset: str) -> tuple[str, tuple[str, ...]]:
        found = settled(AUTO, dataset)
        return found.features, found.also

    assert spaces("cifar10") == spaces("celeba64@16") == ("lite0", ())
    assert spaces("digits") == spaces("mnist") == ("classifier", ())
    put_weights()
    assert spaces("cifar10") == ("inception-clean", ("lite0",))
    assert spaces("digits") == ("classifier", ())


def test_what_is_asked_for_stays(cache: Path) -> None:
    for given in (EvaluateConfig(), EvaluateConfig(features="lite0"), EvaluateConfig(features="inception-clean")):
        assert settled(given, "cifar10") is given


def test_colour_of_a_data_set_given_by_a_path_is_that_of_its_images(tmp_path: Path) -> None:
    import numpy as np

    for channels in (1, 3):
        pixels = torch.zeros(20, 8, 8, channels, dtype=torch.uint8).numpy()
        np.savez(tmp_path / f"{channels}.npz", images=pixels, labels=np.arange(20) % 2)
    assert not in_colour(str(tmp_path / "1.npz")) and in_colour(str(tmp_path / "3.npz"))
    assert set(GREY) < set(names())


def test_several_spaces_in_one_text() -> None:
    assert asked("lite0") == {"features": "lite0", "also": ()}
    assert asked("inception-clean, lite0") == {"features": "inception-clean", "also": ("lite0",)}
    with pytest.raises(ConfigError, match="did you mean 'lite0'"):
        EvaluateConfig(also=("lite",))
    with pytest.raises(ConfigError, match="give each once"):
        EvaluateConfig(features="lite0", also=("lite0",))
    with pytest.raises(ConfigError, match="auto chooses further spaces itself"):
        EvaluateConfig(features="auto", also=("lite0",))


def test_evaluations_from_before_there_were_further_spaces_keep_their_identity() -> None:
    assert identity(EvaluateConfig()) == identity(EvaluateConfig(also=())) != identity(EvaluateConfig(also=("lite0",)))


@pytest.mark.parametrize("profile", ["small", "paper"])
def test_every_row_of_a_table_is_measured_in_the_same_spaces_and_none_is_left_open(profile: str, cache: Path) -> None:
    assert PROFILES[profile].given.features == "auto"
    for expected in (("lite0", ()), ("inception-clean", ("lite0",))):
        cells = table1_cells(profile)
        assert {cell.row for cell in cells} >= {"noise", "real", *METHODS}
        assert {(cell.measured.features, cell.measured.also) for cell in cells} == {expected}
        if expected[0] == "lite0":
            put_weights()
    # on grey images too
    assert {cell.measured.features for cell in table1_cells(profile, dataset="digits")} == {"classifier"}


def test_a_table_of_several_spaces(cache: Path) -> None:
    options = Table1(profile="small", features="lite0,inception-clean")
    assert evaluate_changes(options) == {"features": "lite0", "also": ("inception-clean",)}
    cells = table1_cells("small", evaluate=evaluate_changes(options))
    assert {(c.measured.features, c.measured.also) for c in cells} == {("lite0", ("inception-clean",))}
    assert table_name(Named(profile="small", features="lite0,inception-clean")) == "small-lite0-inception-clean"
    assert "FEATURES=lite0,inception-clean" in command(options)


def test_a_run_that_is_trained_alone_is_settled_before_it_starts(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from clel.commands.cli import main

    assert resolve(METHODS, "clel", "small").evaluate.features == "auto"
    assert main(["train", "clel:small", "--dataset", "cifar10", "--dry-run"]) == 0
    assert '"features": "lite0"' in capsys.readouterr().out
