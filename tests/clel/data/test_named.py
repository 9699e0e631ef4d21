"""The named data sets, from tiny files in the published formats."""

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import SVHN

from clel.data import DataError, load, sources
from clel.data.sets import imagenet32
from clel.data.sets.dtd import load_dtd
from tests.clel.data.conftest import encode, md5, write

Publish = Callable[[dict[str, bytes]], None]
GENERATOR = np.random.default_rng(0)


def batch(n: int, labels: str, first: int = 0) -> tuple[np.ndarray, bytes]:
    rows = GENERATOR.integers(0, 256, (n, 3072), dtype=np.uint8)
    return rows, pickle.dumps({"data": rows, labels: [(first + i) % 10 for i in range(n)], "batch_label": "x"}, 2)


def cifar10() -> tuple[np.ndarray, dict[str, bytes]]:
    parts = {f"data_batch_{k}": batch(3, "labels", k) for k in range(1, 6)} | {"test_batch": batch(2, "labels")}
    files = {name: data for name, (_, data) in parts.items()}
    files["batches.meta"] = pickle.dumps({"label_names": [f"c{i}" for i in range(10)]}, 2)
    return np.concatenate([rows for name, (rows, _) in parts.items() if name != "test_batch"]), files


@pytest.mark.parametrize("place", ["cifar10/cifar-10-batches-py", "cifar-10-batches-py"])
def test_cifar10_unpacked(tmp_path: Path, hashes: Publish, place: str) -> None:
    rows, files = cifar10()
    hashes(files)
    for name, data in files.items():
        write(tmp_path / place / name, data)
    train, test = load("cifar10", root=tmp_path), load("cifar10", "test", tmp_path)
    assert (len(train), len(test)) == (15, 2) and train.pixels.shape[1:] == (3, 32, 32)
    assert (train.pixels.numpy() == rows.reshape(-1, 3, 32, 32)).all()
    assert train.labels is not None and train.labels[:6].tolist() == [1, 2, 3, 2, 3, 4]
    assert train.classes == tuple(f"c{i}" for i in range(10))


def test_cifar10_in_its_archive_and_by_environment(
    tmp_path: Path, hashes: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, files = cifar10()
    hashes(files)
    (tmp_path / "cifar10").mkdir()
    with tarfile.open(tmp_path / "cifar10" / "cifar-10-python.tar.gz", "w:gz") as archive:
        for name, data in reversed(files.items()):
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    monkeypatch.setenv("CLEL_DATA", str(tmp_path))
    assert (load("cifar10").pixels.numpy() == rows.reshape(-1, 3, 32, 32)).all()


def test_cifar100_has_fine_labels(tmp_path: Path, hashes: Publish) -> None:
    rows = GENERATOR.integers(0, 256, (4, 3072), dtype=np.uint8)
    files = {
        part: pickle.dumps({"data": rows, "fine_labels": [9, 1, 2, 3], "coarse_labels": [0] * 4}, 2)
        for part in ("train", "test")
    }
    files["meta"] = pickle.dumps({"fine_label_names": list("abcdefghij"), "coarse_label_names": ["z"]}, 2)
    hashes(files)
    for name, data in files.items():
        write(tmp_path / "cifar100/cifar-100-python" / name, data)
    images = load("cifar100", "test", tmp_path)
    assert images.labels is not None and images.labels.tolist() == [9, 1, 2, 3] and len(images.classes) == 10


def test_cifar_files_are_checked_before_they_are_unpickled(tmp_path: Path, hashes: Publish) -> None:
    _, files = cifar10()
    hashes(files)
    folder = tmp_path / "cifar10/cifar-10-batches-py"
    for name, data in files.items():
        write(folder / name, data)
    write(folder / "data_batch_3", files["data_batch_3"][:-100])
    with pytest.raises(
        DataError, match=r"data_batch_3: its hash is md5:\w+, the published file's is md5:\w+"
    ) as caught:
        load("cifar10", root=tmp_path)
    assert "get it anew" in str(caught.value)
    load("cifar10", "test", tmp_path)
    (folder / "data_batch_3").unlink()
    with pytest.raises(DataError, match=r"lacks the file 'data_batch_3'.*make data DATASET=cifar10"):
        load("cifar10", root=tmp_path)


def test_a_cifar_pickle_of_other_things_is_refused_even_with_the_right_hash(tmp_path: Path, hashes: Publish) -> None:
    _, files = cifar10()
    files["data_batch_2"] = pickle.dumps({"data": print})
    hashes(files)
    for name, data in files.items():
        write(tmp_path / "cifar10/cifar-10-batches-py" / name, data)
    with pytest.raises(DataError, match="data_batch_2: a pickle with anything but arrays in it"):
        load("cifar10", root=tmp_path)


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}i", *values.shape) + values.tobytes()


def idx_files() -> dict[str, bytes]:
    return {
        f"{part}-{kind}": idx(values)
        for part, n in (("train", 5), ("t10k", 3))
        for kind, values in (
            ("images-idx3-ubyte", GENERATOR.integers(0, 256, (n, 28, 28), dtype=np.uint8)),
            ("labels-idx1-ubyte", np.arange(n, dtype=np.uint8)),
        )
    }


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize(
    ("name", "place"), [("mnist", "MNIST/raw"), ("mnist", "mnist"), ("fashion_mnist", "FashionMNIST/raw")]
)
def test_idx(tmp_path: Path, hashes: Publish, name: str, place: str, gzipped: bool) -> None:
    files = idx_files()
    hashes(files)
    for file, data in files.items():
        write(tmp_path / place / (file + ".gz" * gzipped), gzip.compress(data) if gzipped else data)
    train, test = load(name, root=tmp_path), load(name, "test", tmp_path)
    assert train.pixels.shape == (5, 1, 28, 28) and test.pixels.shape == (3, 1, 28, 28)
    assert train.pixels.numpy().tobytes() == files["train-images-idx3-ubyte"][16:]
    assert test.labels is not None and test.labels.tolist() == [0, 1, 2] and len(test.classes) == 10


def test_fashion_mnist_in_debians_place(tmp_path: Path, hashes: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Path("/usr/share/datasets/fashion-mnist") in sources.folders_of("fashion_mnist", tmp_path)
    debian = tmp_path / "usr"
    monkeypatch.setitem(sources._FOLDERS, "fashion_mnist", ("fashion_mnist", str(debian)))
    files = idx_files()
    hashes(files)
    for file, data in files.items():
        write(debian / (file + ".gz"), gzip.compress(data))
    assert len(load("fashion_mnist", root=tmp_path / "elsewhere")) == 5


def test_mnist_refuses_the_other_set_and_truncated_files(tmp_path: Path, hashes: Publish) -> None:
    files = idx_files()
    hashes(files)
    for file, data in files.items():
        write(tmp_path / "mnist" / (file + ".gz"), gzip.compress(data))
    images = tmp_path / "mnist/train-images-idx3-ubyte.gz"
    whole = images.read_bytes()
    images.write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: truncated"):
        load("mnist", root=tmp_path)
    images.write_bytes(gzip.compress(idx_files()["train-images-idx3-ubyte"]))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: its hash is"):
        load("mnist", root=tmp_path)


def mat(**arrays: np.ndarray) -> bytes:
    from scipy.io import savemat

    file = io.BytesIO()
    savemat(file, arrays)
    return file.getvalue()


def test_svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = GENERATOR.integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    files = {"test_32x32.mat": mat(X=x, y=np.array([[10], [1], [9], [5]], np.uint8)), "train_32x32.mat": mat(z=x)}
    for name, data in files.items():
        published = ["http://x", name, md5(data).removeprefix("md5:")]
        monkeypatch.setitem(SVHN.split_list, name.partition("_")[0], published)
        write(tmp_path / "svhn" / name, data)
    images = load("svhn", "test", tmp_path)
    assert images.pixels.shape == (4, 3, 32, 32) and images.labels is not None
    assert images.labels.tolist() == [0, 1, 9, 5]
    assert (images.pixels[2].permute(1, 2, 0).numpy() == x[..., 2]).all()
    with pytest.raises(DataError, match=r"train_32x32\.mat: not SVHN's MATLAB file"):
        load("svhn", "train", tmp_path)
    write(tmp_path / "svhn" / "test_32x32.mat", files["test_32x32.mat"][:-9])
    with pytest.raises(DataError, match=r"test_32x32\.mat: its hash is"):
        load("svhn", "test", tmp_path)


def celeba(count: int = 6) -> tuple[dict[str, np.ndarray], bytes]:
    faces = {f"{i:06}.jpg": GENERATOR.integers(0, 256, (218, 178, 3), dtype=np.uint8) for i in range(1, count + 1)}
    return faces, "".join(f"{name} {i // 2}\n" for i, name in enumerate(faces)).encode()


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_celeba64_is_the_release_s_crop_and_splits(tmp_path: Path, hashes: Publish, form: str) -> None:
    faces, partition = celeba()
    files = {name: encode(values) for name, values in faces.items()}  # PNG inside, so that values are exact
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"img_align_celeba/{name}", data)
    hashes({"list_eval_partition.txt": partition, "img_align_celeba.zip": packed.getvalue()})
    write(tmp_path / "celeba/list_eval_partition.txt", partition)
    if form == "zip":
        write(tmp_path / "celeba/img_align_celeba.zip", packed.getvalue())
    else:
        for name, data in files.items():
            write(tmp_path / "celeba/img_align_celeba" / name, data)
    train, valid = load("celeba64", "train", tmp_path), load("celeba64", "test", tmp_path)
    assert train.pixels.shape == valid.pixels.shape == (2, 3, 64, 64) and train.labels is None
    for images, names in ((train, ("000001.jpg", "000002.jpg")), (valid, ("000003.jpg", "000004.jpg"))):
        for pixels, name in zip(images.pixels, names, strict=True):
            # centre crop 140 of 178x218: 19 from the left, 39 from the top
            crop = Image.fromarray(faces[name][39:179, 19:159]).resize((64, 64), Image.Resampling.BILINEAR)
            assert (pixels.permute(1, 2, 0).numpy() == np.asarray(crop)).all()


def test_celeba64_has_attributes_where_their_file_is(tmp_path: Path, hashes: Publish) -> None:
    faces, partition = celeba()
    rows = [f"{name} {1 if i % 2 else -1}  {-1 if i == 1 else 1}" for i, name in enumerate(faces)]
    table = "\n".join([str(len(faces)), "Male Young ", *rows, ""]).encode()
    hashes({"list_eval_partition.txt": partition, "list_attr_celeba.txt": table})
    write(tmp_path / "celeba/list_eval_partition.txt", partition)
    for name, values in faces.items():
        write(tmp_path / "celeba/img_align_celeba" / name, encode(values))
    assert not load("celeba64", "train", tmp_path).attributes
    write(tmp_path / "celeba/list_attr_celeba.txt", table)
    train, valid = load("celeba64", "train", tmp_path), load("celeba64", "test", tmp_path)
    assert train.values == {"Male": ("Female", "Male"), "Young": ("no Young", "Young")}
    assert [train.attributes[name].tolist() for name in ("Male", "Young")] == [[0, 1], [1, 0]]
    assert valid.attributes["Male"].tolist() == [0, 1] and train.labels is None
    short = table.replace(b"000002.jpg 1  -1", b"000002.jpg 1")
    hashes({"list_eval_partition.txt": partition, "list_attr_celeba.txt": short})
    write(tmp_path / "celeba/list_attr_celeba.txt", short)
    with pytest.raises(DataError, match=r"has no line of 2 attributes for 000002\.jpg"):
        load("celeba64", "train", tmp_path)


def test_celeba64_refusals(tmp_path: Path, hashes: Publish) -> None:
    faces, partition = celeba()
    hashes({"list_eval_partition.txt": partition, "img_align_celeba.zip": b"published"})
    folder = tmp_path / "celeba64"
    write(folder / "img_align_celeba.zip", b"other")
    with pytest.raises(DataError, match=r"Looked for list_eval_partition\.txt"):
        load("celeba64", root=tmp_path)
    write(folder / "list_eval_partition.txt", partition)
    with pytest.raises(DataError, match=r"img_align_celeba\.zip: its hash is"):
        load("celeba64", root=tmp_path)
    write(folder / "img_align_celeba" / "000001.jpg", encode(faces["000001.jpg"], "JPEG"))
    with pytest.raises(DataError, match=r"lacks 000002\.jpg, 1 files in all"):
        load("celeba64", root=tmp_path)
    write(folder / "img_align_celeba" / "000002.jpg", encode(faces["000002.jpg"][:100], "JPEG"))
    with pytest.raises(DataError, match=r"000002\.jpg: RGB 178x100; expected CelebA's aligned RGB 178x218"):
        load("celeba64", root=tmp_path)


def test_celeba32_is_the_same_crop_at_another_side(tmp_path: Path, hashes: Publish) -> None:
    faces, partition = celeba()
    hashes({"list_eval_partition.txt": partition})
    write(tmp_path / "celeba64/list_eval_partition.txt", partition)
    for name, values in faces.items():
        write(tmp_path / "celeba64/img_align_celeba" / name, encode(values))
    images = load("celeba32", "test", tmp_path)
    crop = Image.fromarray(faces["000003.jpg"][39:179, 19:159]).resize((32, 32), Image.Resampling.BILINEAR)
    assert images.name == "celeba32" and (images.pixels[0].permute(1, 2, 0).numpy() == np.asarray(crop)).all()
    assert load("celeba32@16", "test", tmp_path).pixels.shape == (2, 3, 16, 16)


def dtd() -> tuple[dict[str, np.ndarray], dict[str, bytes]]:
    """Five textures by "class/file", and the published layout with their lists of splits."""
    sizes = {"dotted/a.jpg": (40, 60), "dotted/b.jpg": (64, 64), "woven/c.jpg": (90, 50), "woven/d.jpg": (64, 40)}
    textures = {n: GENERATOR.integers(0, 256, (*size, 3), dtype=np.uint8) for n, size in sizes.items()}
    files = {f"images/{name}": encode(values) for name, values in textures.items()}  # PNG inside, values are exact
    files |= {"labels/train1.txt": b"dotted/a.jpg\n", "labels/val1.txt": b"woven/c.jpg\n"}
    return textures, files | {"labels/test1.txt": b"woven/d.jpg\ndotted/b.jpg\n"}


@pytest.mark.parametrize("form", ["torchvision's folder", "folder", "archive"])
def test_dtd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    textures, files = dtd()
    if form == "archive":
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, data in files.items():
                info = tarfile.TarInfo(f"dtd/{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        write(tmp_path / "dtd/dtd-r1.0.1.tar.gz", packed.getvalue())
        with pytest.raises(DataError, match=r"dtd-r1\.0\.1\.tar\.gz: its hash is"):
            load("dtd", root=tmp_path)
        published = (sources.Remote("dtd-r1.0.1.tar.gz", ("http://x",), md5(packed.getvalue())),)
        monkeypatch.setattr(sources, "remotes", lambda name: published)
    else:
        for name, data in files.items():
            write(tmp_path / ("dtd/dtd" if "'" in form else "dtd") / name, data)
    train, test = load("dtd", "train", tmp_path), load("dtd", "test", tmp_path)
    assert train.pixels.shape == test.pixels.shape == (2, 3, 32, 32) and test.classes == ("dotted", "woven")
    assert test.labels is not None and test.labels.tolist() == [1, 0]
    # 64 high and 40 wide: the central square is 12 from the top
    crop = Image.fromarray(textures["woven/d.jpg"][12:52]).resize((32, 32), Image.Resampling.BILINEAR)
    assert (test.pixels[0].permute(1, 2, 0).numpy() == np.asarray(crop)).all()
    corner = load_dtd("all", tmp_path, prepare=lambda image, side: image.crop((0, 0, side, side)))
    assert len(corner) == 4 and (corner.pixels[0].permute(1, 2, 0).numpy() == textures["dotted/a.jpg"][:32, :32]).all()


def test_dtd_refusals(tmp_path: Path) -> None:
    _, files = dtd()
    for name, data in files.items():
        if name not in ("labels/test1.txt", "images/woven/c.jpg"):
            write(tmp_path / "dtd" / name, data)
    with pytest.raises(DataError, match=r"lacks labels/test1\.txt, the list of the split 'test'; get it anew"):
        load("dtd", "test", tmp_path)
    with pytest.raises(DataError, match=r"lacks images/woven/c\.jpg, 1 files in all, of the split 'train'"):
        load("dtd", "train", tmp_path)


def imagenet_files(form: str) -> tuple[np.ndarray, dict[str, bytes]]:
    rows, files = [], {}
    for k in range(1, 11):
        data = GENERATOR.integers(0, 256, (2, 3072), dtype=np.uint8)
        content: dict[str, Any] = {"data": data, "labels": [k, 1000], "mean": data.mean(0)}
        rows.append(data)
        if form.endswith("npz"):
            file = io.BytesIO()
            np.savez(file, **content)
            files[f"train_data_batch_{k}.npz"] = file.getvalue()
        else:
            files[f"train_data_batch_{k}"] = pickle.dumps(content, 4)
    return np.concatenate(rows), files


@pytest.mark.parametrize("form", ["pickle", "npz"])
@pytest.mark.parametrize("packing", ["imagenet32", "imagenet32/Imagenet32_train", "zip"])
def test_imagenet32_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, packing: str) -> None:
    monkeypatch.setitem(imagenet32.COUNTS, "train", 20)
    rows, files = imagenet_files(form)
    if packing == "zip":
        (tmp_path / "imagenet32").mkdir()
        stem = "Imagenet32_train" + "_npz" * (form == "npz")
        with zipfile.ZipFile(tmp_path / "imagenet32" / f"{stem}.zip", "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        for name, data in files.items():
            write(tmp_path / packing / name, data)
            write(tmp_path / packing / "64x64" / name, b"of another release, deeper down")
    images = load("imagenet32", root=tmp_path)
    assert (images.pixels.numpy() == rows.reshape(-1, 3, 32, 32)).all()
    assert images.labels is not None and images.labels[:4].tolist() == [0, 999, 1, 999] and len(images.classes) == 1000


def test_imagenet32_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, files = imagenet_files("pickle")
    folder = tmp_path / "imagenet32/Imagenet32_train"
    for name, data in files.items():
        write(folder / name, data)
    with pytest.raises(DataError, match="20 images in the split 'train'; expected 1281167"):
        load("imagenet32", root=tmp_path)
    write(folder / "train_data_batch_4", pickle.dumps({"data": print}))
    with pytest.raises(DataError, match="train_data_batch_4: a pickle with anything but arrays"):
        load("imagenet32", root=tmp_path)
    rows = np.zeros((1, 3072), np.uint8)
    write(folder / "train_data_batch_4", pickle.dumps({"data": rows, "labels": [0]}))
    with pytest.raises(DataError, match="train_data_batch_4: labels from 0 to 0; expected 1 to 1000"):
        load("imagenet32", root=tmp_path)
    (folder / "train_data_batch_4").unlink()
    with pytest.raises(DataError, match=r"lacks the batch train_data_batch_4 "):
        load("imagenet32", root=tmp_path)
    file = io.BytesIO()
    np.savez(file, data=np.array([print], dtype=object), labels=np.array([1]))
    write(folder / "train_data_batch_4.npz", file.getvalue())
    with pytest.raises(DataError, match=r"train_data_batch_4\.npz: truncated, or an \.npz with anything but arrays"):
        load("imagenet32", root=tmp_path)


def test_imagenet32_as_a_folder(tmp_path: Path) -> None:
    values = {
        f"{part}/{c}/0.png": GENERATOR.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        for part in ("train", "val")
        for c in "ab"
    }
    for name, array in values.items():
        write(tmp_path / "imagenet32" / name, encode(array))
    images = load("imagenet32", "test", tmp_path)
    assert images.name == "imagenet32" and images.classes == ("a", "b")
    assert (images.pixels[1].permute(1, 2, 0).numpy() == values["val/b/0.png"]).all()
    for name, array in values.items():
        write(tmp_path / "imagenet32" / name, encode(array[:16, :16]))
    with pytest.raises(DataError, match=r"images are \[3, 16, 16\]; expected \[3, 32, 32\]"):
        load("imagenet32", "test", tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "mnist", "dtd", "celeba64", "celeba32", "imagenet32"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_data_set_says_where_it_was_looked_for_and_how_to_get_it(
    tmp_path: Path, name: str, split: str
) -> None:
    with pytest.raises(DataError) as caught:
        load(name, split, tmp_path)
    message = str(caught.value)
    assert all(str(place) in message for place in sources.folders_of(name, tmp_path))
    assert "CLEL_DATA" in message and "http" in message
    assert (f"make data DATASET={name}" in message) == (name not in ("celeba64", "celeba32", "imagenet32"))


def test_published_hashes_cover_every_file_that_is_read() -> None:
    for name in ("mnist", "fashion_mnist"):
        published = {remote.file.removesuffix(".gz") for remote in sources.remotes(name)}
        assert published == sources.file_hashes(name).keys()
    assert {"train_32x32.mat", "test_32x32.mat"} == sources.file_hashes("svhn").keys()
    assert {"img_align_celeba.zip", "list_eval_partition.txt"} <= sources.file_hashes("celeba64").keys()


def test_digests_know_sha256(tmp_path: Path) -> None:
    empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    sources.verify(b"", empty, "f")
    assert sources.file_digest(write(tmp_path / "e", b""), "sha256") == empty
    assert sources.file_digest(write(tmp_path / "x", b"x" * 3_000_000), "md5") == md5(b"x" * 3_000_000)
    with pytest.raises(DataError, match="f: its hash is"):
        sources.verify(b"x", empty, "f")
