"""Samples in arrays: what is converted, and what is refused."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clel.config import ConfigError
from clel.data import DataError, Samples, open_samples
from clel.data.readers import arrays_in

GENERATOR = np.random.default_rng(0)
RGB = GENERATOR.integers(0, 256, (7, 3, 6, 5), dtype=np.uint8)
GREY = RGB[:, :1]
UNIT = RGB.astype(np.float32) / 255


def npy(path: Path, values: np.ndarray, **options: Any) -> str:
    np.save(path / "a.npy", values, **options)
    return str(path / "a.npy")


def npz(path: Path, **arrays: Any) -> str:
    np.savez(path / "a.npz", **arrays)
    return str(path / "a.npz")


def pt(path: Path, content: Any, **options: Any) -> str:
    torch.save(content, path / "a.pt", **options)
    return str(path / "a.pt")


def pixels(samples: Samples, size: int = 1000) -> np.ndarray:
    chunks = list(samples.chunks(size))
    assert all(chunk.dtype == torch.uint8 for chunk in chunks)
    assert [len(c) for c in chunks[:-1]] == [size] * (len(chunks) - 1) and 0 < len(chunks[-1]) <= size
    together = torch.cat(chunks).numpy()
    assert together.shape == (samples.n, *samples.shape)
    return together


HWC = "channels last: moved to the front"
FLOAT = "in [0, 1]: floor(256 x), at most 255"
CONVERSIONS: dict[str, tuple[np.ndarray, np.ndarray, list[str]]] = {
    "as it is": (RGB, RGB, []),
    "one channel": (GREY, GREY, []),
    "channels last": (RGB.transpose(0, 2, 3, 1), RGB, [HWC]),
    "grey, channels last": (GREY.transpose(0, 2, 3, 1), GREY, [HWC]),
    "no channels": (GREY[:, 0], GREY, ["no channel axis: grey"]),
    "float32 v/255": (UNIT, RGB, ["float32 " + FLOAT]),
    "float64 v/255": (RGB / 255, RGB, ["float64 " + FLOAT]),
    "big-endian": (UNIT.astype(">f4"), RGB, [">f4 " + FLOAT]),
    "int64": (RGB.astype(np.int64), RGB, ["int64 in 0..255: to uint8"]),
    "uint16": (RGB.astype(">u2"), RGB, [">u2 in 0..255: to uint8"]),
    "bool": (GREY > 99, np.where(GREY > 99, 255, 0), ["bool: False is 0, True is 255"]),
    "both": (UNIT.transpose(0, 2, 3, 1), RGB, [HWC, "float32 " + FLOAT]),
    "Fortran's order": (np.asfortranarray(RGB), RGB, []),
    "black": (0 * RGB, 0 * RGB, []),
    "bits": (
        GREY // 128,
        GREY // 128,
        ["every value is 0 or 1, of 255: if this means black and white, store it as bool"],
    ),
}


@pytest.mark.parametrize("write_file", [npy, lambda path, values: npz(path, samples=values, labels=np.arange(7))])
@pytest.mark.parametrize("kind", CONVERSIONS)
def test_conversions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, write_file: Callable[..., str]
) -> None:
    stored, expected, sentences = CONVERSIONS[kind]
    monkeypatch.setattr(arrays_in, "PIECE", 2 * stored[0].nbytes)  # several pieces, the last one short
    samples = open_samples(write_file(tmp_path, stored))
    assert list(samples.conversions) == sentences
    assert samples.n == 7 and samples.shape == expected.shape[1:]
    assert (pixels(samples) == expected).all()
    assert (pixels(samples, 3) == expected).all()  # and again, in other chunks


def test_floats_follow_the_pixel_convention_of_the_suite(tmp_path: Path) -> None:
    x = np.array([0, 1e-9, 0.5 / 256, 1 / 256 - 1e-9, 1 / 256, 0.5, 1 - 1e-9, 1]).reshape(1, 1, 2, 4)
    assert pixels(open_samples(npy(tmp_path, x))).flatten().tolist() == [0, 0, 0, 0, 1, 128, 255, 255]


WITH_NAN = UNIT.copy()
WITH_NAN[4, 2, 1, 3], WITH_NAN[5, 0, 0, 0] = np.nan, -np.inf
REFUSALS: dict[str, tuple[np.ndarray, str]] = {
    "[-1, 1]": (2 * UNIT - 1, r"float32 \[7, 3, 6, 5\], with values from -1 to 1; .*\(x \+ 1\) / 2"),
    "[0, 255]": (UNIT * 255, r"from 0 to 255; .*if the range is \[0, 255\], round and store uint8"),
    "a little out": (UNIT * 1.01, r"to 1\.01; .*clip it"),
    "a little below 0": (UNIT * 0.9 - 0.005, r"from -0\.005 to 0\.895; .*clip it"),
    "a little out on both sides": (UNIT * 1.01 - 0.005, r"from -0\.005 to 1\.005; .*clip it"),
    "any floats": (UNIT * 9 - 4, r"from -4 to 5; .*scale it to \[0, 1\]"),
    "NaN": (WITH_NAN, r"2 of 630 values are NaN or infinite, the first at \[4, 2, 1, 3\]"),
    "16 bits": (RGB.astype(np.uint16) * 257, "uint16 .*from 0 to 65535; .*divide by 257"),
    "negative": (RGB.astype(np.int16) - 1, "int16 .*from -1 to 254; .*scale it"),
    "bits": (RGB.astype(np.int32) // 128, "every value is 0 or 1; .*store bool"),
    "complex": (UNIT * 1j, r"complex\d+ .*accepted: uint8, floats"),
    "text": (np.full((2, 3, 6, 5), "a"), "<U1 .*accepted: uint8, floats"),
    "ambiguous": (RGB[..., :3], r"\[7, 3, 6, 3\]: the channels may be axis 1 or the last; .*:CHW or :HWC"),
    "no channels": (RGB.transpose(1, 0, 2, 3), r"\[3, 7, 6, 5\]: neither axis 1 nor the last"),
    "alpha": (np.repeat(GREY, 4, 1), "fourth channel is alpha, and opaque, leave it out"),
    "flat": (RGB.reshape(7, -1), r"\[7, 90\]; accepted: images \[N, C, H, W\].*reshape"),
    "one image": (RGB[0].transpose(1, 2, 0), r"\[6, 5, 3\]; accepted: .*one image too needs its first axis"),
    "no image": (RGB[:0], "N > 0"),
    "a number": (np.array(3), r"uint8|int64 \[\]; accepted"),
    "objects": (np.array([{"a": 1}], dtype=object), "pickled Python objects, which could run code"),
}


@pytest.mark.parametrize("write_file", [npy, lambda path, values: npz(path, samples=values)])
@pytest.mark.parametrize("kind", REFUSALS)
def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, write_file: Callable[..., str]) -> None:
    values, message = REFUSALS[kind]
    monkeypatch.setattr(arrays_in, "PIECE", 400)
    path = write_file(tmp_path, values)
    with pytest.raises(DataError, match=message) as caught:
        open_samples(path)
    assert str(caught.value).startswith(path)


@pytest.mark.parametrize("shape", [(4, 3, 6, 3), (4, 3, 1, 1), (4, 1, 5, 3)])
def test_a_stated_layout_settles_what_is_ambiguous(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = GENERATOR.integers(0, 256, shape, dtype=np.uint8)
    path = npy(tmp_path, values)
    assert (pixels(open_samples(path, layout="CHW")) == values).all()
    assert (pixels(open_samples(path + ":CHW")) == values).all()
    last = open_samples(path + ":HWC")
    assert last.conversions == (HWC,) and (pixels(last) == values.transpose(0, 3, 1, 2)).all()
    with pytest.raises(DataError, match="'HWC' after the colon"):
        open_samples(path + ":HWC", layout="CHW")
    with pytest.raises(ConfigError, match="unknown layout 'NCHW'"):
        open_samples(path, layout="NCHW")


def test_a_layout_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="as HWC it has 5 channels"):
        open_samples(npy(tmp_path, RGB) + ":HWC")
    with pytest.raises(DataError, match="no axis of channels"):
        open_samples(npy(tmp_path, GREY[:, 0]) + ":CHW")
    for other in ("digits", "digits:test", str(tmp_path)):
        with pytest.raises(DataError, match="CHW is for array files"):
            open_samples(other, layout="CHW")


STATISTICS = {"mu": np.zeros(4), "sigma": np.eye(4)}


def test_npz_keys(tmp_path: Path) -> None:
    for extra in ({}, STATISTICS, {"arr_1": np.arange(7)}):
        assert (pixels(open_samples(npz(tmp_path, arr_0=RGB, **extra))) == RGB).all()
    with pytest.raises(DataError, match=r"2 arrays .*: 'samples' \(uint8 \[7, 3, 6, 5\]\), 'images' \(float32"):
        open_samples(npz(tmp_path, samples=RGB, images=UNIT))
    with pytest.raises(DataError, match="write :train or :test after its name"):
        open_samples(npz(tmp_path, images=RGB, images_test=RGB))
    with pytest.raises(DataError, match=r"no array that could be images: 'mu' \(float64 \[4\]\), 'sigma'"):
        open_samples(npz(tmp_path, **STATISTICS))
    with pytest.raises(DataError, match="no array that could be images: it is empty"):
        open_samples(npz(tmp_path))


class Unsafe:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def test_tensors(tmp_path: Path) -> None:
    tensor = torch.from_numpy(RGB)
    for content in (
        tensor,
        {"images": tensor, "labels": torch.arange(7), "step": 3},
        [tensor],
        (tensor, torch.ones(7)),
    ):
        for legacy in (False, True):
            samples = open_samples(pt(tmp_path, content, _use_new_zipfile_serialization=not legacy))
            assert (pixels(samples) == RGB).all() and samples.conversions == ()
    for dtype in (torch.bfloat16, torch.float16):
        # of v / 255 in half precision, some levels would come out one too high
        with pytest.raises(DataError, match="too coarse to tell 256 levels apart; store uint8"):
            open_samples(pt(tmp_path, (tensor / 255).to(dtype)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"model": {"w": torch.ones(2)}, "step": 3},
            r"no array .*: 'model' \(dict\), 'step' \(int\); accepted: a tensor",
        ),
        (
            torch.nn.Conv2d(3, 2, 3).state_dict() | {"b": torch.ones(2, 3, 2, 2)},
            r"2 arrays .*'weight' \(float32 \[2, 3, 3",
        ),
        ([torch.ones(3, 4, 4)] * 9, r"9 arrays .*'5' \(float32 \[3, 4, 4\]\), \.\.\.;"),
        ("text", "holds a str; accepted: a tensor"),
        (Unsafe(), r"asks for posix.mkdir, which could run code, so it is not loaded"),
        (torch.nn.Linear(2, 2), "asks for torch.nn.modules.linear.Linear, which could run code"),
        (torch.ones(2, 3, 4, 4).to_sparse(), "sparse, quantised or nested"),
        (torch.ones(2, 3, 4, 4) * 2 - 3, r"from -1 to -1; .*\(x \+ 1\) / 2"),
    ],
)
def test_files_of_other_things_than_a_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = pt(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        open_samples(path)
    assert str(caught.value).startswith(path) and not Path("ran").exists()


@pytest.mark.parametrize("write_file", [npy, lambda path, values: npz(path, a=values), pt])
def test_damaged_files(tmp_path: Path, write_file: Callable[..., str]) -> None:
    path = Path(write_file(tmp_path, torch.from_numpy(RGB) if write_file is pt else RGB))
    data = path.read_bytes()
    for cut in (0, 5, 60, len(data) // 2, len(data) - 3):
        path.write_bytes(data[:cut])
        with pytest.raises(DataError, match=rf"{path.name}.*accepted"):
            open_samples(str(path))


def test_a_flipped_byte_in_an_npz_is_noticed(tmp_path: Path) -> None:
    path = Path(npz(tmp_path, a=RGB))
    data = bytearray(path.read_bytes())
    data[bytes(data).index(RGB.tobytes()) + 50] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="CRC"):
        list(open_samples(str(path)).chunks())
