"""Where the named data sets are published, the hashes of their files, and where they are looked for on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clel.data.images import DataError


@dataclass(frozen=True)
class Remote:
    """A published file.

    Attributes:
        file: its name on disk.
        urls: where it is, the first being tried first.
        digest: "md5:..." or "sha256:..." over its bytes.
    """

    file: str
    urls: tuple[str, ...]
    digest: str


_CELEBA = (
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (Align&Cropped Images)",
    "img_align_celeba.zip (or the folder in it) and list_eval_partition.txt (for attributes list_attr_celeba.txt)",
)
BY_HAND = {
    "celeba64": _CELEBA,
    "celeba32": _CELEBA,
    "imagenet32": (
        "https://patrykchrabaszcz.github.io/Imagenet32/ (an account at image-net.org is needed)",
        "Imagenet32_train.zip and Imagenet32_val.zip (or the batches in them, pickled or .npz)",
    ),
}
"""Page and files of the data sets that need a person's consent, and so cannot be downloaded by a program."""

_FOLDERS = {
    "cifar10": ("cifar10", ""),
    "cifar100": ("cifar100", ""),
    "svhn": ("svhn", "SVHN", ""),
    "mnist": ("mnist", "MNIST/raw"),
    "fashion_mnist": ("fashion_mnist", "FashionMNIST/raw", "/usr/share/datasets/fashion-mnist"),
    "celeba64": ("celeba64", "celeba", ""),
    "celeba32": ("celeba32", "celeba64", "celeba", ""),
    "dtd": ("dtd", ""),
    "imagenet32": ("imagenet32", ""),
}
# Of the decompressed files: distributions compress them anew, and both sets use the same file names.
_IDX_MD5 = {
    "mnist": {
        "train-images-idx3-ubyte": "md5:6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "md5:a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "md5:2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "md5:27ae3e4e09519cfbb04c329615203637",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "md5:f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "md5:9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "md5:8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "md5:15d484375f8d13e6eb1aabb0c3f46965",
    },
}


def remotes(name: str) -> tuple[Remote, ...]:
    """The files to download for the data set `name`, with the hashes torchvision publishes; empty if there are none."""
    from torchvision import datasets

    if name in ("cifar10", "cifar100"):
        kind = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
        return (Remote(kind.filename, (kind.url,), f"md5:{kind.tgz_md5}"),)
    if name == "svhn":
        parts = (datasets.SVHN.split_list[split] for split in ("train", "test"))
        return tuple(Remote(file, (url,), f"md5:{md5}") for url, file, md5 in parts)
    if name == "dtd":
        url, digest = datasets.DTD._URL, datasets.DTD._MD5
        return (Remote(url.rpartition("/")[2], (url,), f"md5:{digest}"),)
    if name in ("mnist", "fashion_mnist"):
        published = datasets.MNIST if name == "mnist" else datasets.FashionMNIST
        return tuple(
            Remote(file, tuple(mirror + file for mirror in published.mirrors), f"md5:{md5}")
            for file, md5 in published.resources
        )
    return ()


def file_hashes(name: str) -> dict[str, str]:
    """{file name: digest} of the files that hold the data set `name`, checked before they are parsed."""
    from torchvision import datasets

    if name in ("cifar10", "cifar100"):
        kind = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
        members = [*kind.train_list, *kind.test_list, [kind.meta["filename"], kind.meta["md5"]]]
        return {file: f"md5:{md5}" for file, md5 in members}
    if name in ("celeba32", "celeba64"):
        return {file: f"md5:{md5}" for _, md5, file in datasets.CelebA.file_list}
    return _IDX_MD5.get(name) or {remote.file: remote.digest for remote in remotes(name)}


def folders_of(name: str, root: Path) -> list[Path]:
    """The folders in which the files of the data set `name` are looked for, in order (torchvision's included)."""
    return [root / folder for folder in _FOLDERS[name]]


def find(name: str, candidates: Sequence[str], root: Path) -> Path:
    """The first of `candidates` (files or folders) that exists in the first of the data set's places that has one.

    Raises:
        DataError: none exists; the message lists what was looked for, and how to get it.
    """
    for place in folders_of(name, root):
        for candidate in candidates:
            if (place / candidate).exists():
                return place / candidate
    raise not_there(name, candidates, root)


def not_there(name: str, candidates: Sequence[str], root: Path) -> DataError:
    """The error of a data set that is not there: where it was looked for, and how to get it."""
    looked = "\n".join(f"  {place}" for place in folders_of(name, root))
    wanted = " or ".join(candidates)
    return DataError(f"the data set {name!r} is not there. Looked for {wanted} in\n{looked}\n{how_to_get(name, root)}")


def how_to_get(name: str, root: Path) -> str:
    """Instructions to get the data set `name`: by command, or by hand."""
    folder = folders_of(name, root)[0]
    other = f"If it is elsewhere, name that folder's parent by the environment variable CLEL_DATA (now {root})."
    if name in BY_HAND:
        page, files = BY_HAND[name]
        return f"Get {files} at {page} and put them into {folder}. {other}"
    by_hand = "\n".join(f"  {remote.urls[0]}" for remote in remotes(name))
    debian = " (or install Debian's package dataset-fashion-mnist)" if name == "fashion_mnist" else ""
    return (
        f"Get it by `make data DATASET={name}`{debian}, or put these files into {folder} by hand:\n{by_hand}\n{other}"
    )


def verify(data: bytes, digest: str, where: str) -> None:
    """Check `data`, the content of the file `where`, against "md5:..." or "sha256:...".

    Raises:
        DataError: another hash.
    """
    algorithm = digest.partition(":")[0]
    found = f"{algorithm}:{hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()}"
    if found != digest:
        raise mismatch(where, found, digest)


def file_digest(path: Path, algorithm: str) -> str:
    """ "algorithm:hex" of the file at `path`, read in pieces."""
    state = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            state.update(piece)
    return f"{algorithm}:{state.hexdigest()}"


def mismatch(where: str, found: str, expected: str) -> DataError:
    """The error of a file with another hash than the published one."""
    return DataError(
        f"{where}: its hash is {found}, the published file's is {expected}; it is truncated or another file; "
        "delete it and get it anew"
    )
