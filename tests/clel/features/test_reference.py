"""Reference statistics and features in chunks: one pass, few rows, a cache that knows what it is of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clel.data import DataError, Images
from clel.features.chunks import EvenRows, features_of
from clel.features.reference import is_statistics, load_statistics, reference, statistics, statistics_path
from clel.random import stream


@dataclass
class Pooled:
    """A feature space that anyone can recompute: means over quarters of a grey image, and two made-up classes."""

    name: str = "pooled"
    identity: str = "pooled-1"
    accuracy: float | None = None
    dimension: int = 4
    labelled: bool = True
    resizing: str = "none"
    calls: int = 0

    def __call__(self, pixels: Tensor, batch: int = 10) -> tuple[Tensor, Tensor]:
        self.calls += 1
        f = torch.nn.functional.avg_pool2d(pixels.double(), pixels.shape[-1] // 2).flatten(1)
        return f, torch.stack([f.mean(1) / 256, 1 - f.mean(1) / 256], 1)


def images(n: int = 50, seed: int = 0) -> Images:
    pixels = torch.randint(0, 256, (n, 1, 4, 4), generator=stream("cpu", seed), dtype=torch.uint8)
    return Images(pixels, name="quarters")


def test_even_rows_over_any_chunks() -> None:
    x = torch.arange(23.0)[:, None]
    for size in (1, 4, 23, 50):
        kept = EvenRows(23, 5)
        for chunk in x.split(size):
            kept.show(chunk)
        assert kept.rows()[:, 0].tolist() == [0, 5, 11, 16, 22]
    everything = EvenRows(23, 100)
    everything.show(x)
    assert torch.equal(everything.rows(), x)


def test_features_in_files_and_in_memory_are_one(tmp_path: Path) -> None:
    space, pixels = Pooled(), images().pixels
    held = features_of(pixels.split(20), 50, space)
    filed = features_of(pixels.split(20), 50, space, tmp_path)
    assert held.n == filed.n == 50 and [len(f) for f in filed.features()] == [20, 20, 10]
    for a, b in ((held.features, filed.features), (held.probabilities, filed.probabilities)):
        assert torch.equal(torch.cat(list(a())), torch.cat(list(b())))
        assert torch.equal(torch.cat(list(a())), torch.cat(list(a())))
    made = space.calls
    features_of(pixels.split(20), 50, space, tmp_path)
    assert space.calls == made  # those of an interrupted measurement are taken up
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) > 0


def test_moments_and_rows_are_those_of_numpy(tmp_path: Path) -> None:
    space, real = Pooled(), images()
    made = reference(real, space, tmp_path)
    f = space(real.pixels)[0].numpy()
    assert np.allclose(made.gaussian.mean, f.mean(0)) and np.allclose(made.gaussian.covariance, np.cov(f.T))
    assert made.rows is not None and np.array_equal(made.rows, f)
    assert (made.name, made.n) == ("quarters/train", 50)


def test_cache_is_keyed_by_content_not_by_name(tmp_path: Path) -> None:
    space, real = Pooled(), images()
    first = reference(real, space, tmp_path)
    made = space.calls
    labels = torch.zeros(50, dtype=torch.int64)
    again = reference(replace(real, name="others", labels=labels, classes=("a",)), space, tmp_path)
    assert again.name == "others/train"
    assert space.calls == made and torch.equal(again.gaussian.covariance, first.gaussian.covariance)
    assert again.rows is not None and first.rows is not None and torch.equal(again.rows, first.rows)
    changed = real.pixels.clone()
    changed[0, 0, 0, 0] ^= 1
    reference(replace(real, pixels=changed), space, tmp_path)
    assert space.calls == made + 1
    reference(real, Pooled(identity="pooled-2"), tmp_path)
    assert len(list((tmp_path / "statistics").iterdir())) == 3


def test_an_interrupted_pass_leaves_no_file(tmp_path: Path) -> None:
    def torn() -> Iterator[Tensor]:
        yield images().pixels
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        statistics("torn", 100, (1, 4, 4), "hash", torn, Pooled(), tmp_path)
    assert not list(tmp_path.rglob("*.npz"))


def file_of(tmp_path: Path) -> Path:
    real = images()
    reference(real, Pooled(), tmp_path)
    content = replace(real, labels=None).content_hash()
    return statistics_path("quarters/train", (1, 4, 4), content, Pooled(), tmp_path)


def test_the_file_is_what_pytorch_fid_and_clean_fid_read(tmp_path: Path) -> None:
    path = file_of(tmp_path)
    assert is_statistics(path) and path.name == path.name.lower()
    with np.load(path) as file:
        mu, sigma = file["mu"][:], file["sigma"][:]
    assert mu.dtype == sigma.dtype == np.float64 and mu.shape == (4,) and sigma.shape == (4, 4)


def test_other_suites_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "theirs.npz", mu=np.arange(4, dtype=np.float32), sigma=np.eye(4))
    theirs = load_statistics(tmp_path / "theirs.npz", Pooled())
    assert (theirs.name, theirs.n, theirs.images, theirs.rows) == ("theirs.npz", None, "unknown", None)
    assert theirs.gaussian.mean.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros(3)}, "holds images; statistics have mu and sigma"),
        ({"mu": np.zeros(3), "sigma": np.eye(3)}, "pooled has 4 dimensions"),
        ({"mu": np.full(4, np.nan), "sigma": np.eye(4)}, "not finite"),
        ({"mu": np.zeros(4), "sigma": np.eye(4), "about": np.array('{"features_identity": "x"}')}, "another feature"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load_statistics(tmp_path / "x.npz", Pooled())


def test_damaged_cache_is_named(tmp_path: Path) -> None:
    path = file_of(tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="remove it to have it made again"):
        reference(images(), Pooled(), tmp_path)
    assert not is_statistics(path)
