"""Samples in folders and archives of image files."""

import io
import os
import tarfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clel.data import DataError, open_samples
from clel.data.readers import image_files
from clel.data.readers.tree import FolderTree
from tests.clel.data.conftest import encode, write
from tests.clel.data.test_folder import pack_tar, pack_zip, png_16_bit_rgb, saved
from tests.clel.data.test_samples_arrays import pixels

GENERATOR = np.random.default_rng(0)
RGB = GENERATOR.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
FILES = {f"{row}.png": encode(image) for row, image in enumerate(RGB)}
EXPECTED = RGB.transpose(0, 3, 1, 2)
OPAQUE = np.concatenate([RGB[0], np.full((6, 5, 1), 255, np.uint8)], 2)
CLEAR = np.concatenate([RGB[0], np.full((6, 5, 1), 254, np.uint8)], 2)


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        write(path / name, data)
    return path


def test_a_folder_is_read_in_natural_order_at_any_depth(tmp_path: Path) -> None:
    samples = open_samples(folder(tmp_path / "fakes", FILES))
    assert (samples.name, samples.n, samples.shape, samples.conversions) == ("fakes", 12, (3, 6, 5), ())
    assert (pixels(samples, 5) == EXPECTED).all()
    deep = {("a/b/" if row < 5 else f"a{row}/c/") + name: data for row, (name, data) in enumerate(FILES.items())}
    assert (pixels(open_samples(folder(tmp_path / "deep", deep))) == EXPECTED).all()


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
@pytest.mark.parametrize("order", [1, -1])
def test_archives_give_what_the_folder_gives(tmp_path: Path, suffix: str, order: int) -> None:
    stored = dict(list(FILES.items())[::order])
    samples = open_samples((pack_zip if suffix == ".zip" else pack_tar)(tmp_path / f"a{suffix}", stored))
    assert (pixels(samples) == EXPECTED).all()
    assert samples.content_hash() == open_samples(folder(tmp_path / "a", FILES)).content_hash()


def test_other_files_are_passed_over_and_counted(tmp_path: Path) -> None:
    hidden = dict.fromkeys((".DS_Store", "__MACOSX/._0.png", "Thumbs.db", ".cache/1.png"), b"?")
    path = folder(tmp_path / "a", FILES | hidden)
    assert open_samples(path).conversions == ()
    folder(path, {"labels.csv": b"x", "z/notes.txt": b"x"})
    assert open_samples(path).conversions == ("2 files that are no images passed over, such as labels.csv",)


def palette(**options: Any) -> bytes:
    return saved(Image.fromarray(RGB[0]).convert("P"), **options)


COLOUR = np.zeros((6, 5), np.uint8)
COLOUR[2] = 9
CONVERTED: dict[str, tuple[bytes, np.ndarray, str]] = {
    "palette": (
        palette(),
        np.asarray(Image.fromarray(RGB[0]).convert("P").convert("RGB")),
        "1 palette images converted",
    ),
    "palette, opaque": (
        palette(transparency=bytes([255] * 256)),
        np.asarray(Image.fromarray(RGB[0]).convert("P").convert("RGB")),
        "1 images: every pixel is opaque; 1 palette",
    ),
    "opaque": (
        encode(OPAQUE),
        RGB[0],
        "alpha channel or transparent colour left out of 1 images: every pixel is opaque",
    ),
    "opaque colour": (saved(Image.fromarray(RGB[0]), transparency=(1, 2, 3)), RGB[0], "left out of 1 images"),
    "grey, opaque": (
        saved(Image.merge("LA", [Image.fromarray(COLOUR), Image.new("L", (5, 6), 255)])),
        COLOUR,
        "left out of 1 images",
    ),
    "1 bit": (
        saved(Image.fromarray(COLOUR > 1)),
        np.where(COLOUR > 1, 255, 0),
        "1 1-bit images converted to 8-bit grey",
    ),
    "webp": (saved(Image.fromarray(RGB[0]), "WEBP", lossless=True), RGB[0], ""),
    "bmp": (encode(RGB[0], "BMP"), RGB[0], ""),
    "JPEG by another name": (
        encode(RGB[0], "JPEG"),
        np.asarray(Image.open(io.BytesIO(encode(RGB[0], "JPEG")))),
        "1 images are JPEG",
    ),
}


@pytest.mark.parametrize("kind", CONVERTED)
def test_conversions(tmp_path: Path, kind: str) -> None:
    data, expected, sentence = CONVERTED[kind]
    samples = open_samples(folder(tmp_path / "a", {"x.PNG": data}))
    told = "; ".join(samples.conversions)
    assert sentence in told and bool(told) == bool(sentence)
    expected = expected[None] if expected.ndim == 2 else expected.transpose(2, 0, 1)
    assert (pixels(samples)[0] == expected).all()


def test_sentences_count(tmp_path: Path) -> None:
    files = FILES | {"p.png": palette(), "q.png": palette(), "r.png": encode(OPAQUE)}
    assert open_samples(folder(tmp_path / "a", files)).conversions == (
        "alpha channel or transparent colour left out of 1 images: every pixel is opaque",
        "2 palette images converted to RGB",
    )


REFUSED: dict[str, tuple[str, bytes, str]] = {
    "alpha": ("x.png", encode(CLEAR), r"x\.png: an alpha channel.*not opaque.*lay it over the background"),
    "transparent colour": ("x.png", saved(Image.fromarray(COLOUR), transparency=9), r"x\.png.*not opaque"),
    "transparent palette": ("x.png", palette(transparency=bytes([0] * 256)), r"x\.png.*not opaque"),
    "16-bit grey": (
        "x.png",
        saved(Image.fromarray(COLOUR.astype(np.uint16))),
        r"x\.png.*16 bits a channel \(mode I;16",
    ),
    "16-bit RGB": ("x.png", png_16_bit_rgb(), r"x\.png.*16 bits a channel.*convert it"),
    "CMYK": ("x.jpg", saved(Image.new("CMYK", (5, 6)), "JPEG"), r"x\.jpg: an image of mode CMYK.*convert it"),
    "frames": (
        "x.png",
        saved(Image.fromarray(RGB[0]), save_all=True, append_images=[Image.fromarray(RGB[1])]),
        r"x\.png: 2 frames in one file",
    ),
    "text": ("x.png", b"hello", r"x\.png: not an image that can be read"),
    "empty": ("x.png", b"", r"x\.png: not an image that can be read"),
    "gif": ("x.gif", encode(RGB[0], "GIF"), r"x\.gif: one of 1 images in a format not read here; .*convert"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refusals_name_the_file(tmp_path: Path, kind: str) -> None:
    name, data, message = REFUSED[kind]
    path = folder(tmp_path / "a", FILES | {name: data})
    with pytest.raises(DataError, match=message) as caught:
        open_samples(path)
    assert str(caught.value).startswith(str(path))


def test_several_sizes_and_modes_are_counted(tmp_path: Path) -> None:
    files = FILES | {"x.png": encode(RGB[0][:, :4]), "y.png": encode(COLOUR), "z.png": encode(COLOUR)}
    with pytest.raises(DataError) as caught:
        open_samples(folder(tmp_path / "a", files))
    assert (
        "images of 3 kinds: 12 RGB 5x6, such as 0.png; 2 grey 5x6, such as y.png; 1 RGB 4x6, such as x.png; accepted"
        in str(caught.value)
    )


def test_nothing_to_measure(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image in it, but nothing"):
        open_samples(folder(tmp_path / "a", {".hidden": b""}))
    with pytest.raises(DataError, match=r"no image in it, but 2 other files, such as a\.npy"):
        open_samples(pack_zip(tmp_path / "a.zip", {"b.txt": b"", "a.npy": b""}))


def test_a_truncated_file_is_named_when_it_is_reached(tmp_path: Path) -> None:
    noise = encode(GENERATOR.integers(0, 256, (6, 5, 3), dtype=np.uint8))
    samples = open_samples(folder(tmp_path / "a", FILES | {"7.png": noise[:90]}))
    with pytest.raises(DataError, match=r"a/7\.png: not an image that can be read, or a truncated one"):
        list(samples.chunks())


def test_files_that_change_after_opening_are_noticed(tmp_path: Path) -> None:
    path = folder(tmp_path / "a", FILES)
    samples = open_samples(path)
    write(path / "3.png", encode(RGB[0][:, :4]))
    with pytest.raises(DataError, match=r"3\.png: was changed since it was opened"):
        list(samples.chunks())
    os.remove(path / "3.png")
    with pytest.raises(DataError, match=r"cannot be read .*3\.png"):
        list(samples.chunks())
    archive = pack_zip(tmp_path / "a.zip", FILES)
    samples = open_samples(archive)
    pack_zip(archive, dict(list(FILES.items())[:-1]))
    with pytest.raises(DataError, match="another number of images than when it was opened"):
        list(samples.chunks())


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_a_cut_archive_is_refused(tmp_path: Path, suffix: str) -> None:
    path = (pack_zip if suffix == ".zip" else pack_tar)(tmp_path / f"a{suffix}", FILES)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"a\.\S+ cannot be read"):
        open_samples(path)


def test_files_are_decoded_as_chunks_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    plain = image_files._plain
    monkeypatch.setattr(image_files, "_plain", lambda data, name: (read.append(name), plain(data, name))[1])
    one = FILES["0.png"]
    samples = open_samples(folder(tmp_path / "a", {f"{row}.png": one for row in range(1000)}))
    assert read == []
    next(samples.chunks(10))
    assert 10 <= len(read) <= 256


def test_a_folder_waits_for_no_file(tmp_path: Path) -> None:
    """A folder's files come in the order asked for, so that none is held until its turn."""
    names = ["2.png", "10.png", "0.png"]
    assert [name for name, _ in FolderTree(folder(tmp_path / "a", FILES)).read(names)] == names
    with (
        tarfile.open(pack_tar(tmp_path / "a.tar", FILES)) as archive,
        zipfile.ZipFile(pack_zip(tmp_path / "a.zip", FILES)) as other,
    ):
        assert archive.getnames() == other.namelist()
