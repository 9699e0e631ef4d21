"""What people met with other tools' files, interrupted commands and odd environments, and what is right there."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from baselines import METHODS
from clel.commands import cli
from clel.commands.cli import main
from clel.commands.train import long_warmup
from clel.config import ConfigError
from clel.data import DataError, load, open_samples
from clel.data.images import refuse_large_batch
from clel.evaluation.score import collapsed, refuse_few_samples
from clel.evaluation.sides import open_target
from clel.features.classifier import classifier_space
from clel.features.reference import is_statistics, load_statistics
from clel.features.spaces import feature_space
from clel.runs.config import choose_device, resolve
from clel.storage import provenance
from clel.storage.cache import cache_root
from clel.storage.log import Notice
from experiments.cli import main as experiments
from experiments.runs.external import load_external
from experiments.sweep.launch import prepare
from tests.small_run import SMALL

FID = ["--features", "classifier", "--device", "cpu"]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEL_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)


def measured(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, *FID]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_repeated_images_are_said_and_counted_once(capsys: pytest.CaptureFixture[str]) -> None:
    pixels = load("digits", "test").pixels[:100].numpy()
    np.save("seven.npy", np.concatenate([pixels] * 7))
    found = measured(capsys, "fid", "seven.npy", "digits")
    assert "seven.npy: 600 of 700 images are exact repeats of others" in found["notes"]
    assert found["protocol"]["samples_repeats"] == 600
    np.save("few.npy", np.concatenate([pixels[:40]] * 2))
    assert main(["fid", "few.npy", "digits", *FID]) == 2
    assert "repeats counted once: 40 images are too few" in capsys.readouterr().err


def test_statistics_of_other_tools(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    space = classifier_space(load("digits"), cache=cache)
    features, _ = space(load("digits").pixels)
    mu, sigma = features.mean(0), torch.cov(features.T)
    expected = measured(capsys, "fid", "digits:test", "digits")["metrics"]["fid"]
    torch.save({"mu": mu, "sigma": sigma}, "stats.pt")
    assert open_target("stats.pt").file == Path("stats.pt")
    assert torch.equal(load_statistics(Path("stats.pt"), space).gaussian.mean, mu)
    assert main(["fid", "stats.pt", "digits", *FID]) == 2
    assert "holds statistics, not images" in capsys.readouterr().err
    torch.save({"mu": mu, "images": mu}, "other.pt")
    assert not is_statistics(Path("other.pt"))
    np.save("pickled.npy", np.array({"mu": mu.numpy(), "sigma": sigma.numpy()}))
    Path("pickled.pkl").touch()
    for name in ("pickled.npy", "pickled.pkl"):
        assert main(["fid", "digits", name, *FID]) == 2
        assert "statistics are taken as mu and sigma in an .npz" in capsys.readouterr().err
    np.savez("both.npz", images=load("digits", "test").pixels.numpy(), mu=mu.numpy(), sigma=sigma.numpy())
    assert measured(capsys, "fid", "both.npz", "digits")["metrics"]["fid"] == pytest.approx(expected, rel=1e-6)
    np.savez("stats.npz", mu=mu.numpy(), sigma=sigma.numpy())
    assert main(["fid", "stats.npz", "digits", *FID]) == 2
    assert "holds statistics, not images" in capsys.readouterr().err


def test_images_that_are_to_be_turned() -> None:
    image = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    Path("a").mkdir()
    image.save("a/1.jpg", exif=exif)
    image.save("a/2.png", exif=exif)
    image.save("a/2.jpg")
    said = open_samples("a").conversions
    assert any(text.startswith("2 images are to be turned for display") for text in said), said
    for name in ("b", "c"):
        (Path("set") / name).mkdir(parents=True)
        for number in range(3):
            image.save(Path("set") / name / f"{number}.jpg", exif=exif)
    with pytest.warns(Notice, match="are to be turned for display"):
        load("set")


def test_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CLEL_CACHE", "")
    assert cache_root() == Path("cache")
    monkeypatch.setenv("CLEL_CACHE", "~/c")
    assert cache_root() == Path.home() / "c"
    # a cache that cannot be written, as of another user: a file where its folders would be
    expected = measured_in(monkeypatch, capsys, None)
    (tmp_path / "file").write_text("")
    found = measured_in(monkeypatch, capsys, tmp_path / "file" / "cache")
    assert found["metrics"]["fid"] == pytest.approx(expected["metrics"]["fid"], rel=1e-9)


def measured_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Path | None
) -> dict[str, Any]:
    """Statistics of a network that costs nothing, in a cache at `place`."""
    monkeypatch.setenv("CLEL_CACHE", str(place or "fresh"))
    monkeypatch.setattr("clel.features.classifier.ITERATIONS", 2)
    assert main(["fid", "digits:test", "digits", *FID]) == 0
    streams = capsys.readouterr()
    assert ("could not be kept in the cache" in streams.err) == (place is not None), streams.err
    return json.loads(streams.out)


def test_a_table_that_is_not_utf_8(tmp_path: Path) -> None:
    head = "title,dataset,samples,source,sha256,published\n"
    (tmp_path / "x.csv").write_bytes((head + "caf\xe9,digits,x.npy,me,,\n").encode("cp1252"))
    with pytest.raises(ConfigError, match=r"x.csv, line 2: not UTF-8 \(the byte 0xe9\); save the table as CSV UTF-8"):
        load_external(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_bytes(("\ufeff" + head + "caf\xe9,digits,x.npy,me,,\n").encode())
    assert load_external(tmp_path / "x.csv")[0].title == "caf\xe9"


def test_devices_that_are_not_here() -> None:
    for name in ("mps", "meta", "cpu:7"):
        if name != "mps" or not torch.backends.mps.is_available():
            with pytest.raises(ConfigError, match=f"device is '{name}', which this torch does not see here.*auto, cpu"):
                choose_device(name)
    assert choose_device("cpu").type == "cpu"


def test_a_clone_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = "fatal: detected dubious ownership in repository\n\tgit config --global --add safe.directory /x\n"
    done = subprocess.CompletedProcess([], 128, "", refused)
    monkeypatch.setattr(provenance.subprocess, "run", lambda *a, **k: done)
    with pytest.warns(Notice, match="to have it: git config --global --add safe.directory"):
        assert provenance.code_version() == {"git_sha": None, "git_dirty": None}
    with pytest.warns(Notice, match="safe.directory"):  # before the first run of a table, and where one looks
        prepare([], tmp_path / "runs", "cpu", tmp_path / "table")


@pytest.mark.parametrize(
    ("command", "kept"),
    [("sample", "nothing was written"), ("fid", "nothing was written"), ("train", "from the last checkpoint")],
)
def test_what_an_interrupted_command_leaves(
    command: str, kept: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(rest: list[str], methods: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, command, stop)
    assert main([command, "x"]) == 130
    assert kept in capsys.readouterr().err


def test_what_does_not_fit_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a batch of 64 images was asked of a data set of 10"):
        refuse_large_batch(64, 10)
    a, b = np.zeros((4, 8, 8, 3), np.uint8), np.zeros((4, 4, 4, 3), np.uint8)
    np.savez("x.npz", images=a, images_test=b)
    with pytest.raises(DataError, match="expected the same"):
        load("x.npz")
    np.savez("y.npz", images=a, labels=np.array([0, 1, 2, 10**12]))
    with pytest.raises(DataError, match="number classes 0, 1, 2"):
        load("y.npz")


def test_a_warm_up_that_never_ends_and_a_collapse_are_said() -> None:
    run = resolve(METHODS, "clel", "quick")
    short = replace(run, train=replace(run.train, iterations=run.config.warmup))
    assert f"warms up over {run.config.warmup} iterations, and training has" in long_warmup(short)
    assert long_warmup(run) == ""
    assert "of one class" in collapsed({"classes_fresh": 1}, "fresh") == collapsed({"classes": 1})
    assert collapsed({"classes_fresh": 2}, "fresh") == collapsed({}, "fresh") == collapsed({"classes_fresh": 1}) == ""


@pytest.mark.parametrize(
    "given",
    [("--evaluate.neighbours", "9999"), ("--device", "mps"), ("--dataset", "digits.npz"), ("--device", "cpu:7")],
)
def test_of_a_run_that_is_refused_nothing_is_left(given: tuple[str, str], tmp_path: Path) -> None:
    assert main(["train", "clel", *SMALL, *given, "--out", str(tmp_path / "run")]) == 2
    assert not (tmp_path / "run").exists()


def test_a_comparison_says_a_collapse(capsys: pytest.CaptureFixture[str]) -> None:
    digits = load("digits", "train")
    assert digits.labels is not None
    np.save("ones.npy", digits.pixels[digits.labels == 1].numpy())
    assert any("of one class of the data" in note for note in measured(capsys, "fid", "ones.npy", "digits")["notes"])


def test_no_download_is_asked_for_where_none_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fid", "digits:test", "digits", "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert "--features lite0" in error and "classifier" in error, error


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--workers", "-1"], "workers is -1; expected at least 1"),
        (["--workers", "0"], "workers is 0; expected at least 1"),
        (["--runs-per-gpu", "0"], "runs_per_gpu is 0; expected at least 1"),
        (["--seeds", "1000000000"], "expected at least 1, and 10,000 at most"),
        (["--methods", ","], "which names none; leave it out for all"),
        (["--out", "a-file"], "a-file is a file; OUT=... names a folder"),
    ],
)
@pytest.mark.parametrize("command", ["table1", "tune", "ood"])
def test_options_of_tables_are_checked_first(
    command: str, given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if command == "tune" and given[0] == "--seeds":
        return
    Path("a-file").write_text("")
    assert experiments([command, "--profile", "smoke", "--device", "cpu", *given]) == 2
    said = capsys.readouterr().err
    assert message in said, said
    assert [path.name for path in Path().iterdir()] == ["a-file"]


@pytest.mark.parametrize(
    ("method", "wrong", "said"),
    [
        ("clel", {"lr": float("inf")}, "lr is inf; expected finite numbers"),
        ("clel", {"lr": 20.0}, "lr is 20.0; expected a learning rate above 0, at most 10"),
        ("clel", {"encoder_momentum": 1.0}, "encoder_momentum is 1.0; expected 0 to 1, without 1"),
        ("igebm", {"betas": (0.5, 1.5)}, "betas is .*; expected 0 to 1, without 1"),
        ("igebm", {"widths": ()}, "widths is empty; expected one number or more"),
        ("vae", {"kl_warmup": -1}, "kl_warmup is -1; expected 0 or more"),
        ("drl", {"warmup": -5}, "warmup is -5; expected 0 or more"),
    ],
)
def test_numbers_that_cannot_be_meant(method: str, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        replace(METHODS[method].recipe("quick").config, **wrong)


def test_neighbours_beyond_the_samples_and_few_images_for_a_classifier() -> None:
    real = SimpleNamespace(spaces=(SimpleNamespace(dimension=64),), further={}, n=450)
    few = replace(METHODS["clel"].recipe("quick").evaluate, neighbours=500)
    with pytest.raises(ConfigError, match=r"neighbours is 500, .*; the reference is 450 images"):
        refuse_few_samples(few, None, None, real)  # type: ignore[arg-type]
    digits = load("digits")
    with pytest.raises(DataError, match="64 images; a classifier's 64 features take more"):
        feature_space("classifier", replace(digits, pixels=digits.pixels[:64], labels=digits.labels[:64]))  # type: ignore[index]


@pytest.mark.parametrize(
    "given",
    [
        "train clel --out=",
        "train clel --out ''",
        "train clel --dataset ''",
        "evaluate ''",
        "sample '' --n 4",
        "stats digits --out ''",
    ],
)
def test_empty_values_are_not_the_working_directory(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(given), METHODS) == 2
    assert "is empty; " in capsys.readouterr().err
    assert experiments(["table1", "--profile", "smoke", "--out", ""]) == 2
    assert list(Path().iterdir()) == []
