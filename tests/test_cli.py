"""The command line: what a user types, right and wrong."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from baselines import METHODS
from clel.commands.cli import installed_methods, main
from clel.config import from_dict
from clel.data import load
from clel.methods.clel import CLEL
from tests.small_run import SMALL


def test_installed_methods_are_all_methods() -> None:
    assert installed_methods().keys() == METHODS.keys()


def test_usage_lists_methods_and_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["--help"]) == 0
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"{name}: {', '.join(method.recipes())}" in text for name, method in METHODS.items())


@pytest.mark.parametrize("name", METHODS)
def test_help_explains_every_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", name, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for field in dataclasses.fields(METHODS[name].Config):
        assert f"--config.{field.name.replace('_', '-')}" in text
    assert METHODS[name].Config is not CLEL.Config or "[CLEL Appendix B: 60]" in " ".join(text.split())
    assert "(default: " in text


def test_dry_run_prints_the_resolved_configuration_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "igebm:paper", "--dry-run", "--seed", "3", "--config.lr", "0.5"]) == 0
    shown = json.loads(capsys.readouterr().out)
    config = from_dict(METHODS["igebm"].Config, shown["config"])
    assert config.lr == 0.5 and shown["seed"] == 3
    assert config.widths == METHODS["igebm"].recipe("paper").config.widths
    assert list(tmp_path.iterdir()) == []


def test_engine_is_short_for_the_field_of_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    names = []
    for option in ("--engine", "--config.engine"):
        assert main(["train", "clel", option, "fast", "--dry-run"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["config"]["engine"] == "fast" and "engine" not in shown
        names.append(shown["name"])
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("clel", "--engine {float32,bfloat16,exact,fast}"),
        ("drl", "--engine {float32,bfloat16}"),
        ("vae", "vae has no choice of engine"),
    ],
)
def test_help_lists_the_engines_of_the_method(method: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["train", method, "--help"])
    assert left.value.code == 0 and text in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tarin"], "did you mean 'train'"),
        (["train", "cell"], "did you mean 'clel'"),
        (["train", "plain ebm"], "did you mean 'plain'"),
        (["train", "vaebm", "--config.vae-share", "0", "--config.vae-run", "x"], "no readable checkpoint"),
        (["train", "clel:lrage"], "did you mean 'large'"),
        (["train", "clel", "--dataset", "digit"], "did you mean 'digits'"),
        (["train", "clel", "--seed", "-1"], "seed is -1"),
        (["train", "clel", "--engine", "fsat"], "unknown engine of clel 'fsat'; did you mean 'fast'"),
        (["train", "vae", "--engine", "fast"], "engine 'fast': none to choose for vae"),
        (["train", "clel", "--engine", "exact", "--config.engine", "bfloat16"], "give one of the two"),
        (["train", "clel", "--device", "cdua"], "expected auto, cpu, cuda"),
        (["train", "clel", "--evaluate.samples", "60"], "evaluate.samples is 60 images"),
        (["train", "clel", "--train.evaluate-samples", "64"], "train.evaluate_samples is 64 images"),
        (["train", "clel", "--config.network.widths", "4", "4", "4", "4", "4"], "cannot be pooled 4 times"),
        (["train", "igebm", "--evaluate.protocols", "clean", "paper"], "IGEBM has no protocol 'paper' of its own"),
        (["sample", "nowhere"], "nowhere"),
        (["sample", "nowhere", "--out", "a.gif"], "ends in .png or .npy"),
        (["evaluate", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_refused_before_any_training(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLEL_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    out = ["--out", "out"] if arguments[0] == "train" else []
    assert main([*arguments, *out]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.langevin.stepz", "3"], "--config.langevin.steps"),
        (["--method", "igebm"], "Unrecognized"),
        (["--preset", "small"], "Unrecognized"),
        (["--config.beta", "nan"], "beta is nan"),
        (["--config.langevin.step-size", "0"], "step_size is 0"),
        (["--train.iterations", "many"], "iterations"),
        (["--train.iterations", "0"], "expected at least 1"),
        (["--config.encoder.features", "3"], "must be equal"),
    ],
)
def test_bad_options_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "clel", *arguments])
    assert stop.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_train_writes_a_whole_run(run: Path) -> None:
    files = {p.name for p in run.iterdir()}
    assert {"config.json", "log.jsonl", "record.json", "training.json", "samples.png", "checkpoints"} <= files
    record = json.loads((run / "record.json").read_text())
    assert record["status"] == "ok" and record["reason"] is None
    metrics: dict[str, Any] = record["metrics"]
    assert {
        "fid_fresh",
        "kid_fresh",
        "precision_fresh",
        "recall_fresh",
        "fid_buffer",
        "confident_fresh",
    } <= metrics.keys()
    assert metrics["n_fresh"] == 70 == record["protocol"]["n_fake"]
    assert record["protocol"]["features"] == "classifier-v1 (digits)" and record["protocol"]["features_accuracy"] > 0.97
    assert record["training"]["gradient_evaluations"] == 6 and record["training"]["peak_memory_bytes"] > 1e6
    fresh = record["evaluations"]["fresh"]
    assert sorted(p.name for p in (run / fresh["folder"]).iterdir() if p.name[0] != ".") == [
        "chains.png",
        "evaluation.json",
        "samples.npy",
        "samples.png",
    ]
    assert np.load(run / fresh["folder"] / "samples.npy").shape == (70, 1, 8, 8)
    assert [r["steps"] for r in fresh["rounds"]] == [1, 2] and fresh["rounds"][-1]["fid"] == metrics["fid_fresh"]
    assert record["evaluations"]["buffer"]["protocol"]["n_fake"] == 70


def test_a_finished_run_is_not_trained_again_and_another_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*") if not p.name.startswith(".lock")}
    assert main(["train", "clel", "--out", str(run), *SMALL]) == 0
    assert main(["train", "clel", "--out", str(run), *SMALL, "--seed", "1"]) == 2
    assert "seed: 0 -> 1" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*") if not p.name.startswith(".lock")} == before


def test_a_run_that_is_being_trained_is_left_alone(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from clel.storage.lock import locked

    with locked(run):
        assert main(["train", "clel", "--out", str(run), *SMALL]) == 2
    assert "another process" in capsys.readouterr().err


def test_sample(run: Path, tmp_path: Path) -> None:
    assert main(["sample", str(run), "--n", "5", "--steps", "2", "--out", str(tmp_path / "x.npy")]) == 0
    first = np.load(tmp_path / "x.npy")
    assert first.shape == (5, 1, 8, 8) and first.dtype == np.uint8
    assert main(["sample", str(run), "--n", "10", "--out", str(tmp_path / "x.png")]) == 0
    assert Image.open(tmp_path / "x.png").size == (8 * 66 + 2, 2 * 66 + 2)


def test_sample_towards_classes_and_images(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["sample", str(run), "--steps", "2"]
    assert main([*ask, "--n", "20", "--classes", "all", "--out", str(tmp_path / "all.npy")]) == 0
    towards = np.load(tmp_path / "all.npy")
    assert towards.shape == (20, 1, 8, 8)
    assert main([*ask, "--n", "3", "--classes", "3", "--weight", "0", "--out", str(tmp_path / "a.npy")]) == 0
    assert main([*ask, "--n", "3", "--classes", "3", "--weight", "5", "--out", str(tmp_path / "b.npy")]) == 0
    assert not np.array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))
    digit = load("digits").pixels[0, 0].numpy()
    Image.fromarray(digit).save(tmp_path / "like.png")
    assert main([*ask, "--n", "4", "--like", str(tmp_path / "like.png"), "--out", str(tmp_path / "x.png")]) == 0
    Image.fromarray(digit[:4, :4]).save(tmp_path / "small.png")
    capsys.readouterr()
    for more, message in [
        (["--classes", "12"], "unknown class of digits '12'"),
        (["--like", str(tmp_path / "small.png")], "this model has [1, 8, 8]"),
        (["--classes", "all", "--like", "x.png"], "give one of the three"),
        (["--classes", "all", "--without", "red"], "give one of the three"),
        (["--with", "red"], "digits has no attributes to compose"),
    ]:
        assert main([*ask, *more]) == 2
        assert message in capsys.readouterr().err


def test_bad_questions_about_a_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "config.json").write_text('{"reference": "noise"}')
    for arguments, message in [
        (["evaluate", str(run), "--samples", "10"], "evaluate.samples is 10 images"),
        (["sample", str(tmp_path)], "has no config.json"),
        (["sample", str(tmp_path / "noise")], "nothing was trained"),
    ]:
        capsys.readouterr()
        assert main(arguments) == 2
        streams = capsys.readouterr()
        assert message in streams.err and "evaluation" not in streams.err


def test_dry_run_tells_of_a_missing_data_set(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEL_DATA", str(tmp_path))
    assert main(["train", "clel:small", "--dataset", "cifar10", "--dry-run"]) == 0
    assert "make data DATASET=cifar10" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip()[0].isdigit()


def test_evaluate_agrees_with_the_record(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    shutil.rmtree(run / "evaluations")
    assert main(["evaluate", str(run)]) == 0
    again = json.loads(capsys.readouterr().out)
    record = json.loads((run / "record.json").read_text())
    assert again["metrics"] == record["metrics"]
    assert again["protocol"] == record["protocol"]


def test_what_fails_is_recorded_and_taken_up_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import clel.runs.execute

    monkeypatch.setenv("CLEL_CACHE", str(cache))
    real = clel.runs.execute.measure

    def fail(*_: object) -> None:
        raise RuntimeError("a disk on fire")

    monkeypatch.setattr(clel.runs.execute, "measure", fail)
    with pytest.raises(RuntimeError):
        main(["train", "clel", "--out", str(tmp_path / "run"), *SMALL])
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert (record["status"], record["reason"]) == ("error", "RuntimeError: a disk on fire")
    trained = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
    monkeypatch.setattr(clel.runs.execute, "measure", real)
    assert main(["train", "clel", "--out", str(tmp_path / "run"), *SMALL]) == 0
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == trained
