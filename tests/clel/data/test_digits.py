"""The digits inside scikit-learn and their fixed split."""

import pytest
import torch

from clel.data import load
from clel.data.sets import digits


def test_sizes_and_range() -> None:
    train, test = load("digits"), load("digits", "test")
    assert train.pixels.shape == (1347, 1, 8, 8) and test.pixels.shape == (450, 1, 8, 8)
    assert train.labels is not None and test.labels is not None
    assert test.labels.bincount().tolist() == [45] * 10
    assert train.pixels.min() == 0 and train.pixels.max() == 255
    assert train.classes == tuple("0123456789")


def test_splits_are_disjoint_and_together_all_of_it() -> None:
    from sklearn.datasets import load_digits

    whole = torch.from_numpy(load_digits().images).flatten(1)
    parts = torch.cat([load("digits", split).pixels for split in ("train", "test")]).flatten(1)
    back = (parts.double() * 16 / 255).round()
    # all 1,797 images are different, so equal sets of rows mean that each is in one split, once
    assert len(whole.unique(dim=0)) == 1797
    assert torch.equal(back.unique(dim=0), whole.unique(dim=0)) and len(back) == 1797


def test_content_is_constant() -> None:
    assert load("digits").content_hash() == "35e418b8d9743da92cafcd1d0f1626e9ce4b0db86d24b2c1169ba44148eb393e"
    assert load("digits", "test").content_hash() == "8a30a0cc6b43879ef7c661c13adf038556eae416e791a4304bfbcd87d0d02f4c"


def test_where_scikit_learn_keeps_them_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, labels = digits._bundled()
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    again = digits._bundled.__wrapped__()
    assert torch.equal(again[0], pixels) and torch.equal(again[1], labels)
