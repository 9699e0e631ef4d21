"""Evaluations of a run: measured again without training again, under both protocols, resumable, with their spread."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from baselines import METHODS
from clel.commands.cli import main
from clel.config import ConfigError
from clel.data import Images, load
from clel.evaluation import evaluate
from clel.evaluation.evaluate import CHAINS, STRIP
from clel.evaluation.score import refuse_few_samples
from clel.features.names import NAMES
from clel.features.pretrained_space import PretrainedSpace
from clel.features.spaces import FEATURES, feature_space
from clel.methods.method import Method
from clel.methods.settings import EvaluateConfig, TrainConfig
from clel.metrics import Moments, frechet_distance
from clel.networks.weights import WeightsError
from clel.runs.config import Run, build, resolve
from clel.runs.execute import execute
from clel.runs.load import load_trained
from clel.runs.record import stands
from clel.storage.lock import Busy, locked
from clel.training.api import train
from clel.training.trainer import Trainer
from tests.clel.training.trainer_process import small_config

EVALUATE = EvaluateConfig(samples=110, steps=4, rounds=2, protocols=("clean", "paper"), bootstrap=20, batch=60)
TRAIN = TrainConfig(iterations=3, ema_half_life=8.0, checkpoint_every=1, log_every=1, sample_every=0, keep=3)


@pytest.fixture(scope="module")
def asked() -> Run[Any]:
    config = small_config()
    # steps so long that a few updates of the weights show in the samples
    long = replace(config.langevin, step_size=1e6)
    config = replace(config, langevin=long, buffer=replace(config.buffer, size=110))
    return replace(resolve(METHODS, "clel", "quick"), config=config, train=TRAIN, evaluate=EVALUATE, device="cpu")


@pytest.fixture
def run(asked: Run[Any], cache: Path, monkeypatch: pytest.MonkeyPatch) -> Run[Any]:
    monkeypatch.setenv("CLEL_CACHE", str(cache))
    return asked


@pytest.fixture(scope="module")
def once(asked: Run[Any], cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was trained and evaluated for all tests here."""
    folder = tmp_path_factory.mktemp("once") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEL_CACHE", str(cache))
        execute(asked, folder, METHODS)
    return folder


@pytest.fixture
def trained(run: Run[Any], once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run's folder, a copy to work in; from here on, training is an error."""
    shutil.copytree(once, tmp_path / "run")

    def refuse(self: Trainer) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Trainer, "step", refuse)
    return tmp_path / "run"


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "record.json").read_text())


def test_both_protocols_and_the_buffer_with_their_protocol(trained: Path) -> None:
    record = record_of(trained)
    assert record["evaluations"].keys() == {"fresh", "paper", "buffer"}
    for source, e in record["evaluations"].items():
        protocol = e["protocol"]
        needed = ["features", "features_identity", "resizing", "reference_data", "reference_split", "n_real", "n_fake"]
        needed += ["chains", "checkpoint", "engine", "seed"]
        needed += ["steps", "restart", "augmentation", "weights"]
        missing = [key for key in needed if protocol.get(key) is None]
        assert not missing, source
        if source != "buffer":
            assert all(
                protocol.get(key) is not None for key in ("steps", "rounds", "restart", "augmentation", "weights")
            )
            assert [r["steps"] for r in e["rounds"]] == [2, 4]
            samples = np.load(trained / e["folder"] / "samples.npy")
            assert samples.shape == (110, 1, 8, 8)
        assert record["metrics"][f"fid_{source}"] == e["metrics"]["fid"]
        assert e["metrics"]["fid_low"] < e["metrics"]["fid"] < e["metrics"]["fid_high"]
    fresh, paper = record["evaluations"]["fresh"]["protocol"], record["evaluations"]["paper"]["protocol"]
    assert (fresh["augmentation"], fresh["restart"]) == ("none", 0)
    assert paper["augmentation"]["jitter"] == [0.4, 0.4, 0.4, 0.1] and paper["restart"] == 0.001


def test_chains_are_shown_on_their_way(trained: Path) -> None:
    """A line a chain, its image after each round; those on the right are the samples."""
    place = trained / record_of(trained)["evaluations"]["fresh"]["folder"]
    picture, samples = np.asarray(Image.open(place / CHAINS)), np.load(place / "samples.npy")
    side = 64 + 2
    assert picture.shape == (STRIP * side + 2, 2 * side + 2)
    for number in range(STRIP):
        top, left = number * side + 2, side + 2
        assert (picture[top : top + 64 : 8, left : left + 64 : 8] == samples[number, 0]).all()


def test_another_evaluation_does_not_train_again(run: Run[Any], trained: Path) -> None:
    before = record_of(trained)
    other = replace(run, evaluate=replace(EVALUATE, steps=3, protocols=("clean",), sampling_seeds=3))
    assert other.name == run.name
    assert stands(before, run.evaluate) and not stands(before, other.evaluate)
    record = execute(other, trained, METHODS)
    assert record["training"] == before["training"] and record["metrics"]["fid_fresh"] != before["metrics"]["fid_fresh"]
    distances = record["evaluations"]["fresh"]["sampling"]
    assert len(set(distances)) == 3 and distances[0] == record["metrics"]["fid_fresh"]
    assert record["metrics"]["fid_sampling_mean_fresh"] == pytest.approx(mean(distances))
    assert record["metrics"]["fid_sampling_std_fresh"] == pytest.approx(stdev(distances))
    # what was measured before is still there, and asked for again it is not made again
    stamps = {p: p.stat().st_mtime_ns for p in trained.glob("evaluations/*/samples.npy")}
    assert len(stamps) == 5
    assert execute(run, trained, METHODS)["metrics"] == before["metrics"]
    assert {p: p.stat().st_mtime_ns for p in trained.glob("evaluations/*/samples.npy")} == stamps


def test_what_is_evaluated_beside_it_is_no_part_of_an_evaluation(run: Run[Any], trained: Path) -> None:
    before = {p.name for p in (trained / "evaluations").iterdir()}
    for protocols, seeds in ((("clean",), 1), (("paper", "clean"), 2)):
        other = replace(run, evaluate=replace(EVALUATE, protocols=protocols, sampling_seeds=seeds))
        record = execute(other, trained, METHODS)
        # the record's own protocol is that of its fresh numbers, whatever the order of the protocols
        assert record["protocol"]["name"] == "clean"
    after = {p.name for p in (trained / "evaluations").iterdir()}
    assert before < after and len(after) == len(before) + 1  # the second sampling seed alone


def test_chains_that_are_followed_beyond_change_no_other_number(
    run: Run[Any], trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = record_of(trained)
    stamps = {p: p.stat().st_mtime_ns for p in trained.glob("evaluations/*/samples.npy")}
    monkeypatch.setattr(evaluate, "FOLLOWED", 100)
    other = replace(run, evaluate=replace(EVALUATE, beyond=4.0))
    assert other.name == run.name and not stands(before, other.evaluate)
    record = execute(other, trained, METHODS)
    assert record["metrics"] == before["metrics"] | {
        f"{name}_beyond": record["metrics"][f"{name}_beyond"] for name in ("fid", "n")
    }
    found = record["evaluations"]["beyond"]
    assert [r["steps"] for r in found["rounds"]] == list(other.evaluate.further_steps) == [4, 6, 10, 16]
    assert found["metrics"] == {"fid": found["rounds"][-1]["fid"], "n": 100}
    assert (found["protocol"]["n_fake"], found["protocol"]["steps"]) == (100, 16)
    assert np.load(trained / found["folder"] / "samples.npy").shape == (100, 1, 8, 8)
    # what was measured before was neither drawn nor measured again
    after = {p: p.stat().st_mtime_ns for p in trained.glob("evaluations/*/samples.npy")}
    assert {p: after[p] for p in stamps} == stamps and len(after) == len(stamps) + 1
    # asked for otherwise up to there, it stands
    again = replace(other, evaluate=replace(other.evaluate, rounds=1, bootstrap=0, protocols=("clean",)))
    assert execute(again, trained, METHODS)["evaluations"]["beyond"] == found
    assert "beyond" not in execute(replace(run, evaluate=EVALUATE), trained, METHODS)["evaluations"]


def test_followed_chains_begin_as_the_samples_of_the_table(run: Run[Any], trained: Path) -> None:
    record = execute(replace(run, evaluate=replace(EVALUATE, beyond=2.0)), trained, METHODS)
    fresh, beyond = (record["evaluations"][source] for source in ("fresh", "beyond"))
    assert beyond["rounds"][0] == fresh["rounds"][-1] and fresh["rounds"][-1]["steps"] == 4


def test_a_failing_evaluation_leaves_the_record_that_stood(run: Run[Any], trained: Path) -> None:
    before = record_of(trained)
    other = replace(run, evaluate=replace(EVALUATE, features="inception-clean"))
    with pytest.raises(WeightsError, match="make weights"):
        execute(other, trained, METHODS)
    assert record_of(trained) == before


def test_a_model_is_not_measured_against_other_data_than_it_was_trained_on(
    run: Run[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = load("digits", "train")
    np.savez(tmp_path / "mine.npz", images=real.pixels.permute(0, 2, 3, 1).numpy(), labels=real.labels)
    np.savez(tmp_path / "mine-test.npz", images=real.pixels.permute(0, 2, 3, 1).numpy(), labels=real.labels)
    mine = replace(run, dataset=str(tmp_path / "mine.npz"))
    monkeypatch.setattr("clel.runs.execute.feature_space", lambda *_: feature_space("classifier", real, None))
    execute(mine, tmp_path / "run", METHODS)
    np.savez(tmp_path / "mine.npz", images=255 - real.pixels.permute(0, 2, 3, 1).numpy(), labels=real.labels)
    with pytest.raises(ConfigError, match="other data under one name"):
        execute(replace(mine, evaluate=replace(EVALUATE, steps=3)), tmp_path / "run", METHODS)


def test_two_processes_do_not_share_an_evaluation(run: Run[Any], trained: Path) -> None:
    other = replace(run, evaluate=replace(EVALUATE, steps=6, protocols=("clean",)))
    execute(other, trained, METHODS)
    (folder,) = (p.parent for p in trained.glob("evaluations/*/evaluation.json") if '"steps": 6' in p.read_text())
    (trained / "record.json").unlink()
    with locked(folder), pytest.raises(Busy, match="another process"):
        execute(other, trained, METHODS)


def test_what_a_kill_left_behind_is_cleared(run: Run[Any], trained: Path) -> None:
    (folder, *_) = (p.parent for p in trained.glob("evaluations/*/evaluation.json"))
    (folder / "parts").mkdir()
    (folder / "parts" / "samples-00000000.npy").write_bytes(b"x")
    (trained / "record.json").unlink()
    execute(run, trained, METHODS)
    assert not list(trained.glob("evaluations/*/parts"))


def test_rounds_that_are_known_are_not_measured_again(
    run: Run[Any], trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(run, evaluate=replace(EVALUATE, steps=6, rounds=3, protocols=("clean",)))
    real, measured = evaluate.distance_of, []

    def die_in_the_second(*arguments: Any) -> float:
        measured.append(1)
        if len(measured) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(evaluate, "distance_of", die_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        execute(other, trained, METHODS)
    assert [r["steps"] for r in execute(other, trained, METHODS)["evaluations"]["fresh"]["rounds"]] == [2, 4, 6]
    assert len(measured) == 3


def test_live_weights_are_others(run: Run[Any], trained: Path) -> None:
    averaged, live = (load_trained(trained, METHODS, "cpu", weights) for weights in ("averaged", "live"))
    assert averaged.checkpoint == live.checkpoint and not live.method.training
    assert any(
        not torch.equal(a, b) for a, b in zip(averaged.method.parameters(), live.method.parameters(), strict=True)
    )
    other = replace(run, evaluate=replace(EVALUATE, protocols=("clean",), weights="live"))
    assert execute(other, trained, METHODS)["protocol"]["weights"] == "the last ones"


def test_energies_of_a_loaded_run_need_a_gradient_only_where_images_ask_for_one(trained: Path) -> None:
    method = load_trained(trained, METHODS, "cpu").method
    images = torch.rand(2, *method.spec.shape)
    assert not method.energy(images).requires_grad
    (gradient,) = torch.autograd.grad(method.energy(images.requires_grad_()).sum(), images)
    assert gradient.abs().sum() > 0


def test_interrupted_measurement_goes_on(run: Run[Any], trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(run, evaluate=replace(EVALUATE, steps=5))

    def kill(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "score", kill)
        with pytest.raises(KeyboardInterrupt):
            execute(other, trained, METHODS)
    assert not stands(record_of(trained), other.evaluate)
    assert len(list(trained.glob("evaluations/*/parts/samples-*.npy"))) == 2
    drawn: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr("clel.sampling.fresh._batch", lambda *a: drawn.append(a))
        patch.setattr(evaluate, "score", kill)
        with pytest.raises(KeyboardInterrupt):
            execute(other, trained, METHODS)
    assert not drawn
    assert execute(other, trained, METHODS)["status"] == "ok"
    assert not list(trained.glob("evaluations/*/parts"))


def test_every_kept_checkpoint(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = sorted(p.stem for p in (trained / "checkpoints").iterdir())
    options = ["--samples", "80", "--protocol", "clean", "--device", "cpu"]
    capsys.readouterr()
    assert main(["evaluate", str(trained), "--checkpoint", "all", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [f["checkpoint"] for f in found] == kept and len(kept) > 1
    assert len({f["metrics"]["fid_fresh"] for f in found}) == len(kept)
    assert all(f["protocol"]["checkpoint"] == f["checkpoint"] for f in found)
    first = str(int(kept[0].split("-")[1]))
    assert main(["evaluate", str(trained), "--checkpoint", first, *options]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == found[0]["metrics"]
    assert main(["evaluate", str(trained), "--checkpoint", "77", *options]) == 2
    assert "expected last, all, or one of" in capsys.readouterr().err


def test_a_method_without_a_protocol_of_its_own_says_so(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(METHODS["clel"], "disturbed", Method.disturbed)
    for asked in (["--protocol", "both"], []):  # the run's own configuration asks for both
        assert main(["evaluate", str(trained), "--device", "cpu", *asked]) == 0
        streams = capsys.readouterr()
        assert "CLEL has no protocol paper of its own" in streams.err
        assert json.loads(streams.out)["evaluations"].keys() == {"fresh", "buffer"}
    assert main(["evaluate", str(trained), "--device", "cpu", "--protocol", "paper"]) == 2
    assert "CLEL has no protocol 'paper' of its own" in capsys.readouterr().err


def test_unknown_names_are_refused() -> None:
    for changes, nearest in (({"protocols": ("cleam",)}, "clean"), ({"features": "inception"}, "inception-clean")):
        with pytest.raises(ConfigError, match=f"did you mean '{nearest}'"):
            EvaluateConfig(**changes)
    with pytest.raises(ConfigError, match="each once"):
        EvaluateConfig(protocols=("clean", "clean"))


def test_float32_means_float32_wherever_a_run_is_computed(
    run: Run[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained, from Python too, and loaded to be sampled or measured: torch's own setting rounds to TF32 on CUDA."""
    folder = tmp_path / "run"

    def from_python() -> None:
        images = load("digits")
        train(build(run, METHODS, images.spec, torch.device("cpu")), images, TRAIN, tmp_path / "other")

    for work in (lambda: execute(run, folder, METHODS), lambda: load_trained(folder, METHODS, "cpu"), from_python):
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
        work()
        assert torch.backends.cudnn.allow_tf32 is False


def tiny_space(images: Images, held_out: Images | None, cache: Path | None) -> PretrainedSpace:
    """Eight fixed projections of the pixels."""
    size = 3 * images.spec.size**2
    w = torch.randn(size, 8, generator=torch.Generator().manual_seed(0)) / size
    return PretrainedSpace(
        name="Tiny",
        identity="71",
        dimension=8,
        classes=8,
        resizing="none",
        device=torch.device("cpu"),
        resize=lambda x: x.float(),
        extract=lambda x: x.flatten(1) @ w,
        logits=lambda f: f,
    )


def test_further_feature_spaces_measure_the_same_samples(
    run: Run[Any], trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = record_of(trained)
    monkeypatch.setitem(FEATURES, "tiny", tiny_space)
    monkeypatch.setattr("clel.methods.settings.NAMES", (*NAMES, "tiny"))
    both = replace(run, evaluate=replace(run.evaluate, also=("tiny",), beyond=2.0))
    record = execute(both, trained, METHODS)
    assert stands(record, both.evaluate) and not stands(record, run.evaluate)
    images = load("digits", "train")
    space = tiny_space(images, None, None)
    real = Moments.over([space(images.pixels)[0]]).gaussian
    for source in ("fresh", "paper", "buffer"):
        own = {k: v for k, v in before["metrics"].items() if k.endswith(f"_{source}")}
        assert own.items() <= record["metrics"].items()  # of the main space nothing changes
        # no class of the further network's is one of the data set's
        names = {k.removesuffix(f"_{source}") for k in own} - {"n", "confident", "classes"}
        further = {k for k in record["metrics"] if k.startswith("tiny_") and k.endswith(f"_{source}")}
        assert further == {f"tiny_{name}_{source}" for name in names}
        protocol = record["evaluations"][source]["protocol"]
        assert (
            protocol["also"] == "tiny" and protocol["tiny_features"] == "Tiny" and protocol["tiny_resizing"] == "none"
        )
        assert protocol["features"] == before["protocol"]["features"]
    samples = torch.from_numpy(np.load(trained / record["evaluations"]["fresh"]["folder"] / "samples.npy"))
    expected = frechet_distance(Moments.over([space(samples)[0]]).gaussian, real)
    assert record["metrics"]["tiny_fid_fresh"] == pytest.approx(expected, rel=1e-6)
    assert [k for k in record["metrics"] if k.startswith("tiny_") and k.endswith("_beyond")] == []


def test_samples_are_enough_for_every_feature_space() -> None:
    real = SimpleNamespace(spaces=(SimpleNamespace(dimension=64), SimpleNamespace(dimension=200)), further={})
    with pytest.raises(ConfigError, match=r"evaluate\.samples is 110 images; .* 200 dimensions"):
        refuse_few_samples(EVALUATE, None, None, real)  # type: ignore[arg-type]
