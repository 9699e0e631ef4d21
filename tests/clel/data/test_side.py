"""Images at a smaller side, and two archives beside each other as the splits of one data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clel.data import DataError, Images, load, open_samples
from clel.data.registry import is_name, located
from clel.data.side import at_side, averaged, split_side
from clel.runs.config import slug
from experiments.printing.headings import data_title
from experiments.reading.paths import absolute
from tests.clel.data.test_folder import Pictures, pack_tar, pack_zip


def test_a_pixel_is_the_mean_over_its_square() -> None:
    pixels = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for side in (8, 4, 2):
        small = averaged(Images(pixels, name="mine"), side)
        k = 8 // side
        means = torch.nn.functional.avg_pool2d(pixels.double(), k)
        assert torch.equal(small.pixels.double(), means.round())
        assert small.pixels.dtype == torch.uint8 and small.name == f"mine@{side}"


def test_labels_and_attributes_stay() -> None:
    whole, small = load("shapes", "test"), load("shapes@16", "test")
    assert small.pixels.shape == (5000, 3, 16, 16) and small.name == "shapes@16" and small.split == "test"
    assert whole.labels is not None and small.labels is not None and torch.equal(small.labels, whole.labels)
    assert small.classes == whole.classes and small.attributes.keys() == whole.attributes.keys()


@pytest.mark.parametrize("name", ["shapes@12", "shapes@64", "shapes@1", "shapes@0"])
def test_a_side_that_cannot_be(name: str) -> None:
    with pytest.raises(DataError, match="power of two that divides 32: 2, 4, 8, 16, 32"):
        load(name)


def test_grey_images_have_their_own_side_only() -> None:
    with pytest.raises(DataError, match="digits@4: only RGB"):
        load("digits@4")


def test_names_with_a_side() -> None:
    assert split_side("cifar10@16") == ("cifar10", 16) and split_side("a@b") == ("a@b", None)
    assert at_side("cifar10", 16) == "cifar10@16" == at_side("cifar10@16", 32)
    assert at_side("cifar10", None) == "cifar10"
    assert is_name("cifar10@16") and not is_name("mine@16")
    assert slug("cifar10@16") == "cifar10-16"
    assert data_title("cifar10@16") == "CIFAR-10 at 16x16"
    assert data_title("cifar10_jpeg@16") == "CIFAR-10, JPEG copy, at 16x16"


def test_samples_are_held_against_it_by_its_name() -> None:
    samples = open_samples("shapes@8:test")
    assert samples.shape == (3, 8, 8) and samples.n == 5000


def test_a_file_may_have_such_a_name(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images)
    np.savez(tmp_path / "b.npz@4", images=images)
    (tmp_path / "b.npz@4.npz").rename(tmp_path / "b@4.npz")
    assert load("a.npz@4", root=tmp_path).pixels.shape[2] == 4
    assert load("b@4.npz", root=tmp_path).pixels.shape[2] == 8
    assert load("b@4.npz@2", root=tmp_path).pixels.shape[2] == 2


@pytest.fixture
def two(tmp_path: Path, pictures: Pictures) -> Path:
    """pets_train.zip with 22 images and pets_test.tar with 2: the folder they lie in."""
    held = [f"{c}/{i:02}.png" for c in ("cat", "dog") for i in (3,)]
    pack_zip(tmp_path / "pets_train.zip", {name: file for name, (_, file) in pictures.items() if name not in held})
    pack_zip(tmp_path / "pets_test.zip", {name: pictures[name][1] for name in held})
    return tmp_path


def test_two_archives_are_the_splits_of_one_data_set(two: Path, pictures: Pictures) -> None:
    for name in ("pets", str(two / "pets")):
        train, test = (load(name, split, root=two) for split in ("train", "test"))
        assert (len(train), len(test)) == (22, 2) and train.name == test.name == "pets"
        assert train.classes == test.classes == ("cat", "dog")
        assert np.array_equal(np.moveaxis(test.pixels[1].numpy(), 0, -1), pictures["dog/03.png"][0])
    assert load("pets@2", root=two).pixels.shape == (22, 3, 2, 2)
    # one of them by its own path is a data set like any other
    assert len(load("pets_train.zip", root=two)) == 20


def test_a_class_of_one_archive_that_the_other_lacks(two: Path, pictures: Pictures) -> None:
    pack_zip(two / "pets_test.zip", {"cow/1.png": pictures["cat/00.png"][1]})
    with pytest.raises(DataError, match=r"pets_train\.zip: cat/ is a class that .*pets_test\.zip lacks"):
        load("pets", root=two)


def test_one_archive_alone_is_no_pair(tmp_path: Path, pictures: Pictures) -> None:
    pack_tar(tmp_path / "pets_train.tar", {name: file for name, (_, file) in pictures.items()})
    assert located("pets", tmp_path) is None


def test_what_lies_in_the_folder_of_data_sets_is_meant_by_its_name(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = two / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("CLEL_DATA", str(two))
    assert absolute("pets@2") == "pets@2"
    monkeypatch.setenv("CLEL_DATA", str(elsewhere))
    monkeypatch.chdir(two)
    assert absolute("pets@2") == f"{two / 'pets'}@2"
