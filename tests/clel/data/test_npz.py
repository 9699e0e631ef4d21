"""Data sets in .npz files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clel.data import DataError, load

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
LABELS = np.arange(20) % 2


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_fixed_split(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    train, test = load(path), load(path, "test")
    assert (len(train), len(test)) == (18, 2)
    assert test.labels is not None and sorted(test.labels.tolist()) == [0, 1]
    assert train.classes == ("0", "1") and train.name == "a"
    rows = {pixels.permute(1, 2, 0).contiguous().numpy().tobytes() for part in (train, test) for pixels in part.pixels}
    assert rows == {image.tobytes() for image in IMAGES}
    positions = {image.tobytes(): int(label) for image, label in zip(IMAGES, LABELS, strict=True)}
    for pixels, label in zip(test.pixels, test.labels.tolist(), strict=True):
        assert positions[pixels.permute(1, 2, 0).contiguous().numpy().tobytes()] == label


def test_own_split_grey_and_no_labels(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", images=IMAGES[..., 0], images_test=IMAGES[:3, ..., 1])
    train, test = load(path), load(path, "test")
    assert train.pixels.shape == (20, 1, 4, 4) and test.pixels.shape == (3, 1, 4, 4)
    assert train.labels is None and train.classes == ()
    assert (test.pixels[:, 0].numpy() == IMAGES[:3, ..., 1]).all()


def test_own_split_with_labels_shares_the_classes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", images=IMAGES, labels=LABELS, images_test=IMAGES[:1], labels_test=np.array([3]))
    assert load(path).classes == load(path, "test").classes == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": IMAGES}, "unknown key 'image'; did you mean 'images'"),
        ({"labels": LABELS}, "expected 'images' among them"),
        ({"images": IMAGES / 255.0}, r"'images' is float64 .* floor\(256 x\)"),
        ({"images": IMAGES.transpose(0, 3, 1, 2)}, r"\[20, 3, 4, 4\].*transpose"),
        ({"images": IMAGES[:, :3]}, "H = W"),
        ({"images": IMAGES, "labels": LABELS[:5]}, "20 images, but 5 labels"),
        ({"images": IMAGES, "labels": LABELS * 1.0}, "'labels' is float64"),
        ({"images": IMAGES, "labels": LABELS - 1}, "expected integers"),
        ({"images": IMAGES, "labels": LABELS, "images_test": IMAGES}, "'labels' alone"),
        ({"images": IMAGES, "labels_test": LABELS}, "'labels_test' alone"),
        ({"images": IMAGES[:0]}, "has no image"),
        ({"images": np.array([{"a": 1}], dtype=object)}, "holds pickled objects"),
    ],
)
def test_refusals(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    path = save(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert "a.npz" in str(caught.value) or "a: " in str(caught.value)


def test_a_truncated_file_and_a_bare_array_are_refused(tmp_path: Path) -> None:
    data = save(tmp_path / "whole.npz", images=IMAGES).read_bytes()
    for cut in (0, 10, len(data) // 2, len(data) - 10):
        (tmp_path / "cut.npz").write_bytes(data[:cut])
        with pytest.raises(DataError, match=r"cut\.npz: cannot be read"):
            load(tmp_path / "cut.npz")
    with (tmp_path / "bare.npz").open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(DataError, match="a single array"):
        load(tmp_path / "bare.npz")
