"""clel fid and clel stats: any images against any others, as a user types it, right and wrong."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy
import torch

from clel.commands.cli import main
from clel.data import load
from clel.evaluation import compare
from clel.evaluation.sides import _data_set_of
from clel.features.classifier import classifier_space
from clel.features.inception import MODES
from clel.features.reference import is_statistics
from clel.features.spaces import FEATURES
from tests.clel.data.conftest import encode, write
from tests.few import Few

Fid = Callable[..., dict[str, Any]]
TEST = load("digits", "test").pixels
CLASSIFIER = ["--features", "classifier", "--device", "cpu"]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, and the session's cache."""
    monkeypatch.setenv("CLEL_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def called(capsys: pytest.CaptureFixture[str]) -> Fid:
    def call(*arguments: Any, options: list[str] = CLASSIFIER) -> dict[str, Any]:
        assert main([*map(str, arguments), *options]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture(scope="module")
def direct(cache: Path) -> dict[str, Any]:
    """What `clel fid digits:test digits` prints."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.setenv("CLEL_CACHE", str(cache))
        assert main(["fid", "digits:test", "digits", *CLASSIFIER]) == 0
    return json.loads(printed.getvalue())


def gaussian(pixels: torch.Tensor, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    features, _ = classifier_space(load("digits"), cache=cache)(pixels)
    return features.numpy().mean(0), np.cov(features.numpy(), rowvar=False)


def textbook(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    """The trace of the root of a product of covariances is the sum of the roots of its eigenvalues."""
    roots = np.sqrt(np.linalg.eigvals(a[1] @ b[1]).real.clip(min=0))
    return float(((a[0] - b[0]) ** 2).sum() + np.trace(a[1] + b[1]) - 2 * roots.sum())


def stored(kind: str, pixels: torch.Tensor) -> str:
    values = pixels.numpy()
    if kind == "folder":
        for row, image in enumerate(values):
            write(Path("pngs") / f"{row}.png", encode(image[0]))
        return "pngs"
    if kind == "run":
        where = Path("ebm-digits-s0-0a1b2c3d/evaluations/clean-0a/samples.npy")
        where.parent.mkdir(parents=True)
        np.save(where, values)
        fresh = {"folder": "evaluations/clean-0a", "metrics": {"n": len(values)}}
        record = {"status": "ok", "evaluations": {"fresh": fresh}}
        write(where.parents[2] / "record.json", json.dumps(record).encode())
        return str(where.parents[2])
    if kind == "floats":
        np.save("floats.npy", values[:, 0] / np.float32(255))
        return "floats.npy"
    torch.save({"x": pixels}, "x.pt")
    return "x.pt"


@pytest.mark.parametrize("kind", ["folder", "run", "floats", "tensor"])
def test_the_same_pixels_have_the_same_numbers_whatever_holds_them(kind: str, called: Fid, cache: Path) -> None:
    pixels = TEST[:120]
    found = called("fid", stored(kind, pixels), "digits")
    expected = textbook(gaussian(pixels, cache), gaussian(load("digits").pixels, cache))
    assert found["metrics"]["fid"] == pytest.approx(expected, rel=1e-6)
    protocol = found["protocol"]
    assert (protocol["n_fake"], protocol["n_real"], protocol["reference"]) == (120, 1347, "digits/train")
    conversions = ["no channel axis: grey", "float32 in [0, 1]: floor(256 x), at most 255"]
    assert protocol["samples_conversions"] == (conversions if kind == "floats" else [])
    assert protocol["samples_images"] == replace(load("digits", "test"), pixels=pixels, labels=None).content_hash()


def test_both_orders(called: Fid, direct: dict[str, Any]) -> None:
    one, other = direct, called("fid", "digits", "digits:test")
    assert one["metrics"]["fid"] == pytest.approx(other["metrics"]["fid"], rel=1e-9)
    assert one["metrics"]["precision"] == other["metrics"]["recall"]
    assert one["metrics"]["recall"] == other["metrics"]["precision"]
    assert (one["protocol"]["n_fake"], one["protocol"]["n_real"]) == (450, 1347)
    assert (other["protocol"]["n_fake"], other["protocol"]["n_real"]) == (1347, 450)
    assert other["protocol"]["reference_split"] == "test"
    assert other["protocol"]["samples_conversions"] == ["the split is train, as none was named"]


def test_identical_images(called: Fid) -> None:
    torch.save(load("digits").pixels, "copy.pt")
    found = called("fid", "copy.pt", "digits")
    assert found["metrics"]["fid"] < 1e-9
    assert found["metrics"]["precision"] == found["metrics"]["recall"] == found["metrics"]["coverage"] == 1
    assert -1 < found["metrics"]["kid"] < 0  # subsets share images, which the cross term counts and the others do not
    assert found["notes"] == ["samples and reference are the same images"]


def test_statistics_stand_for_their_images(called: Fid, direct: dict[str, Any]) -> None:
    made = called("stats", "digits", "--out", "train.npz")
    assert (made["path"], made["name"], made["n"]) == ("train.npz", "digits/train", 1347)
    through = called("fid", "digits:test", "train.npz")
    assert through["metrics"] == direct["metrics"]
    assert through["protocol"] == direct["protocol"] | {"reference_conversions": []}


def test_statistics_by_others(called: Fid, direct: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Only mu and sigma: what they do not hold is left out, and said; what they are of is the caller's word."""
    called("stats", "digits", "--out", "train.npz")
    with np.load("train.npz") as file:
        np.savez("theirs.npz", mu=file["mu"].astype(np.float32), sigma=file["sigma"])
    monkeypatch.setattr("clel.evaluation.sides._data_set_of", lambda path: "digits")  # a classifier takes a data set
    found = called("fid", "digits:test", "theirs.npz")
    assert found["metrics"]["fid"] == pytest.approx(direct["metrics"]["fid"], rel=1e-4)
    assert found["metrics"].keys() == {"fid", "n", "confident", "classes"}
    assert found["protocol"]["n_real"] is None and found["protocol"]["reference_data"] is None
    text = " ".join(found["notes"])
    for part in ("your word", "n_real", "kid, precision, recall, density and coverage are left out"):
        assert part in text
    checked = called("stats", "theirs.npz")
    assert (checked["path"], checked["n"], checked["images"]) == ("theirs.npz", None, "unknown")


def test_statistics_are_made_once_under_any_name(called: Fid, capsys: pytest.CaptureFixture[str]) -> None:
    first = called("stats", "digits:test")
    torch.save(TEST, "copy.pt")
    assert main(["fid", "digits", "copy.pt", *CLASSIFIER]) == 2  # a classifier is a data set's
    assert "trained on the reference" in capsys.readouterr().err
    assert called("stats", "digits:test") == first
    assert is_statistics(Path(first["path"])) and Path(first["path"]).name.startswith("digits-test-1x8x8-classifier")


def test_their_readers_read_ours(
    called: Fid, direct: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """pytorch-fid's convention, clean-fid's folder, name and distance."""
    cleanfid = pytest.importorskip("cleanfid")
    from cleanfid.features import get_reference_statistics
    from cleanfid.fid import frechet_distance

    monkeypatch.setattr(cleanfid, "__file__", str(tmp_path / "__init__.py"))
    called("stats", "digits", "--out", "stats/mine_clean_custom_na.npz")
    called("stats", "digits:test", "--out", "test.npz")
    with np.load("test.npz") as f:
        mu, sigma = f["mu"][:], f["sigma"][:]
    assert mu.shape == (64,) and sigma.shape == (64, 64) and mu.dtype == sigma.dtype == np.float64
    theirs = get_reference_statistics("mine", "na", mode="clean", seed=0, split="custom")
    if tuple(int(part) for part in scipy.__version__.split(".")[:2]) >= (1, 18):
        pytest.skip("clean-fid 0.1.35 calls scipy.linalg.sqrtm(disp=False), an option that SciPy 1.18 removed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's deprecations
        expected = float(frechet_distance(mu, sigma, *theirs))
    assert direct["metrics"]["fid"] == pytest.approx(expected, rel=1e-5)


def test_few_images_by_force(called: Fid) -> None:
    np.save("few.npy", TEST[:40].numpy())
    found = called("fid", "few.npy", "digits", "--force")
    assert found["metrics"]["fid"] > 0 and found["metrics"]["kid"] is not None
    assert found["protocol"]["forced"] is True
    assert len(found["notes"]) == 1 and "a covariance from 40 images has rank 39" in found["notes"][0]


def test_interval_and_extrapolation_where_asked(called: Fid, direct: dict[str, Any]) -> None:
    more = called("fid", "digits:test", "digits", "--bootstrap", "20", "--infinity", "--seed", "3")
    values = more["metrics"]
    assert values["fid_low"] < values["fid"] == direct["metrics"]["fid"] < values["fid_high"]
    assert values["fid_infinity"] < values["fid"]
    assert more["protocol"]["seed"] == 3 and "must not be sorted" in more["notes"][0]
    assert "fid_se" not in direct["metrics"]


def test_features_of_many_images_wait_in_a_folder_that_goes(
    called: Fid, direct: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path] = []
    score = compare.score

    def watched(*arguments: Any) -> dict[str, Any]:
        values = score(*arguments)
        folders.append(arguments[6])
        assert list(arguments[6].glob("features-*.npz"))
        return values

    monkeypatch.setattr(compare, "ROWS", 100)
    monkeypatch.setattr(compare, "score", watched)
    assert called("fid", "digits:test", "digits") == direct
    assert len(folders) == 1 and not folders[0].exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fid", "none.npy", "digits"], "none.npy: no such file or folder"),
        (["fid", "digits", "none"], "none: no such file or folder, and no data set"),
        (["fid", "digits", "digits:valid"], "one of train, test"),
        (["fid", "digits", "cifar10"], "cifar10"),
        (["fid", "colour.npy", "digits"], "colour.npy: colour 8x8 images; classifier-v1 (digits) takes grey 8x8 ones"),
        (["fid", "large.npy", "digits"], "large.npy: grey 16x16 images"),
        (["fid", "few.npy", "digits"], "few.npy: 40 images are too few for a Fréchet distance in 64 dimensions"),
        (["fid", "few.npy", "digits"], "or --force"),
        (["fid", "few.npy", "digits", "--force", "--infinity"], "too few to extrapolate"),
        (["fid", "nan.npy", "digits"], "NaN or infinite"),
        (["fid", "digits", "few.npy"], "must be a labelled data set"),
        (["fid", "theirs.npz", "digits"], "holds statistics, not images"),
        (["fid", "digits", "theirs.npz"], "must be a labelled data set"),
        (["fid", "digits", "other.npz"], "made in something, another feature space"),
        (["fid", "digits", "torn.npz"], "torn.npz"),
        (["fid", "digits", "text.npz"], "its text `about` cannot be read"),
        (["fid", "digits", "words.npz"], "expected floats"),
        (["fid", "digits", "small.npz"], "has 64 dimensions"),
        (["fid", "digits", "digits", "--layout", "CHW"], "the layout CHW is for array files"),
        (["fid", "digits", "digits", "--bootstrap", "5"], "bootstrap is 5"),
        (["fid", "digits", "digits", "--features", "inceptoin-clean"], "did you mean 'inception-clean'"),
        (["fid", "digits", "digits", "--features", "inception-pytorch"], "make weights"),
        (["fid", "digits", "digits", "--device", "gpu"], "expected auto, cpu, cuda"),
        (["stats", "none"], "none: no such file or folder"),
        (["stats", "digits", "--out", "a.txt"], "ends in .npz"),
        (["stats", "theirs.npz", "--out", "a.npz"], "holds statistics already"),
        (["stats", "few.npy"], "must be a labelled data set"),
    ],
)
def test_bad_input(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    np.save("few.npy", TEST[:40].numpy())
    np.save("colour.npy", TEST[:80].expand(-1, 3, -1, -1).numpy())
    np.save("large.npy", np.zeros((80, 1, 16, 16), np.uint8))
    np.save("nan.npy", np.full((80, 8, 8), np.nan))
    np.savez("theirs.npz", mu=np.zeros(64), sigma=np.eye(64))
    about = {"name": "digits/train", "features": "something", "features_identity": "0"}
    np.savez("other.npz", mu=np.zeros(64), sigma=np.eye(64), about=json.dumps(about))
    named = json.dumps({"name": "digits/train"})
    np.savez("words.npz", mu=np.array(["a"]), sigma=np.eye(64), about=named)
    np.savez("small.npz", mu=np.zeros(2), sigma=np.eye(2), about=named)
    np.savez("text.npz", mu=np.zeros(64), sigma=np.eye(64), about="[1]")
    monkeypatch.setattr(
        "clel.evaluation.sides._data_set_of",
        lambda path, known=_data_set_of: "digits" if path.name == "text.npz" else known(path),
    )
    Path("torn.npz").write_bytes(Path("theirs.npz").read_bytes()[:-100])
    given = set(tmp_path.iterdir())
    options = [] if "--features" in arguments else CLASSIFIER[:2]
    assert main([*arguments, *options, *([] if "--device" in arguments else CLASSIFIER[2:])]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and "Traceback" not in captured.err and not captured.out
    assert set(tmp_path.iterdir()) == given


def test_layout(called: Fid, direct: dict[str, Any]) -> None:
    odd = np.zeros((80, 3, 8, 3), np.uint8)
    np.save("odd.npy", odd)
    assert main(["fid", "odd.npy", "digits", *CLASSIFIER]) == 2
    np.save("last.npy", TEST.permute(0, 2, 3, 1).numpy())
    found = called("fid", "last.npy", "digits", "--layout", "HWC")
    assert found["metrics"] == direct["metrics"]


@pytest.mark.slow
def test_inception_of_colour_pngs_and_of_other_sizes(
    called: Fid, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The whole way with a network of random weights: 12 PNGs of 6x6 in colour, 10 grey images of 16x12."""
    from tests.inception_files import write_torchscript

    monkeypatch.setenv("CLEL_CACHE", str(tmp_path / "cache"))
    weights = write_torchscript(tmp_path / "cache" / "inception")
    monkeypatch.setitem(MODES, "inception-clean", replace(MODES["inception-clean"], weights=weights))
    made = FEATURES["inception-clean"]
    monkeypatch.setitem(FEATURES, "inception-clean", lambda *given: Few.of(made(*given), seed=0))
    options = ["--device", "cpu", "--force"]
    random = np.random.default_rng(0)
    for row in range(12):
        write(Path(f"pets/{row}.png"), encode(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)))
    np.save("grey.npy", random.integers(0, 256, (10, 16, 12), dtype=np.uint8))
    found = called("fid", "grey.npy", "pets", options=options)
    assert found["metrics"]["fid"] > 1
    assert found["metrics"]["inception_score"] >= 1 and "confident" not in found["metrics"]
    assert found["protocol"]["features"] == "inception-clean" and found["protocol"]["reference"] == "pets"
    text = "\n".join(found["notes"])
    for part in (
        "samples are 16x12 and reference images 6x6",
        "samples are grey and reference images in colour",
        "not square",
    ):
        assert part in text
    assert main(["fid", "pets", "pets", "--device", "cpu"]) == 2
