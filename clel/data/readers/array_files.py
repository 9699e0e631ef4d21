"""Files of arrays, opened without running what a pickle may ask for and without holding them: .npy, .npz, .pt."""

from __future__ import annotations

import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from clel.data.images import DataError
from clel.data.readers.arrays_in import Array, step

_BROKEN = (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)
STATISTICS = "statistics are taken as mu and sigma in an .npz, or in a dict of tensors that torch.save wrote"
_PICKLED = (
    "holds pickled Python objects, which could run code and are not loaded; accepted: a numeric array; " + STATISTICS
)
_TENSORS = (
    "accepted: a tensor, or a dict, list or tuple with exactly one tensor of 3 or 4 axes in it; save that alone; "
    + STATISTICS
)


def open_npy(path: Path) -> Array:
    """The array of an .npy file, read in pieces.

    Raises:
        DataError: a damaged file, or one of pickled objects.
    """
    with _reading(path):
        with path.open("rb") as file:
            shape, fortran, dtype = _header(file, str(path))
            size = file.tell() + math.prod(shape) * dtype.itemsize
        if path.stat().st_size < size:
            raise ValueError(f"{path.stat().st_size} bytes, where its header speaks of {size}")
        if fortran:  # image after image is not how it is stored
            return _held(str(path), np.load(path, mmap_mode="r" if 0 not in shape else None, allow_pickle=False))
    # not mapped: the pages of a mapping count as memory of the process
    return _streamed(str(path), path, shape, dtype, lambda: path.open("rb"))


def open_npz(path: Path) -> Array:
    """The one array of an .npz file that could be images: 3 or 4 axes; or its only array. It is read in pieces.

    Raises:
        DataError: a damaged file, one of pickled objects, or several arrays that could be meant, or none.
    """
    headers = {}
    with _reading(path), zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as file:
                    headers[member[:-4]] = _header(file, f"{path}: {member[:-4]!r}")
    found = {key: f"{dtype} {list(shape)}" for key, (shape, _, dtype) in headers.items()}
    split = "; for one split of a data set write :train or :test after its name" if "images_test" in headers else ""
    key = _only(
        [k for k, (shape, _, _) in headers.items() if len(shape) in (3, 4) or len(headers) == 1],
        found,
        str(path),
        f"accepted: exactly one array of 3 or 4 axes in it, whatever its key; save that alone{split}",
    )
    shape, fortran, dtype = headers[key]
    where = f"{path}: {key!r}"
    if fortran:
        with _reading(path):
            return _held(where, np.load(path, allow_pickle=False)[key])
    return _streamed(where, path, shape, dtype, lambda: _member(path, key + ".npy"))


@contextmanager
def _member(path: Path, member: str) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(path) as archive, archive.open(member) as file:
        yield file


def open_pt(path: Path) -> Array:
    """The tensor of a file by torch.save, or the only one of 3 or 4 axes in the dict, list or tuple that it holds.

    It is loaded with weights_only=True, which admits tensors and plain containers, and mapped where its format allows.

    Raises:
        DataError: a damaged file, one that asks for other objects, several tensors that could be meant, or none.
    """
    with _reading(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of formats that are refused below
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    where, tensor = str(path), content
    if not isinstance(content, Tensor):
        items = _items(content, where)
        able = [key for key, value in items.items() if isinstance(value, Tensor) and value.ndim in (3, 4)]
        key = _only(able, {k: _describe(v) for k, v in items.items()}, where, _TENSORS)
        where, tensor = f"{path}: {key!r}", items[key]
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
        raise DataError(f"{where}: a sparse, quantised or nested tensor; accepted: a dense one (to_dense, dequantize)")
    tensor = tensor.detach()
    if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
        name = str(tensor.dtype).removeprefix("torch.")
        raise DataError(
            f"{where}: {name}, too coarse to tell 256 levels apart; store uint8, or float32 before rounding"
        )
    return _held(where, tensor.resolve_conj().resolve_neg().numpy())


def _streamed(
    where: str, path: Path, shape: tuple[int, ...], dtype: np.dtype, opened: Callable[[], AbstractContextManager[IO]]
) -> Array:
    """The array in Python's order that follows a header in the file that `opened` opens."""

    def rows() -> Iterator[np.ndarray]:
        with _reading(path), opened() as file:
            _header(file, where)
            for start in range(0, shape[0], step(shape, dtype)):
                part = (min(step(shape, dtype), shape[0] - start), *shape[1:])
                data = bytearray(file.read(math.prod(part) * dtype.itemsize))
                yield np.frombuffer(data, dtype).reshape(part)
            file.read(1)  # at its end zipfile compares the checksum

    return Array(where, shape, dtype, rows)


def _held(where: str, values: np.ndarray) -> Array:
    def rows() -> Iterator[np.ndarray]:
        size = step(values.shape, values.dtype)
        for start in range(0, len(values), size):
            yield np.array(values[start : start + size])

    return Array(where, values.shape, values.dtype, rows)


def _header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether it is stored in Fortran's order, and type; raises where there are objects in it."""
    version = np.lib.format.read_magic(file)  # type: ignore[arg-type]
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)  # type: ignore[arg-type]
    if dtype.hasobject:
        raise DataError(f"{where}: {_PICKLED}")
    return shape, fortran, dtype


def _items(content: Any, where: str) -> dict[str, Any]:
    if isinstance(content, Mapping):
        return {str(key): value for key, value in content.items()}
    if isinstance(content, list | tuple):
        return {str(number): value for number, value in enumerate(content)}
    raise DataError(f"{where}: holds a {type(content).__name__}; {_TENSORS}")


def _only(keys: list[str], found: dict[str, str], where: str, accepted: str) -> str:
    if len(keys) == 1:
        return keys[0]
    shown = keys or list(found)
    listed = ", ".join(f"{key!r} ({found[key]})" for key in shown[:6]) + (", ..." if len(shown) > 6 else "")
    what = f"{len(keys)} arrays that could be the images" if keys else "no array that could be images"
    raise DataError(f"{where}: holds {what}: {listed or 'it is empty'}; {accepted}")


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return type(value).__name__


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns what a damaged or dangerous file raises into DataError."""
    try:
        yield
    except DataError:
        raise
    except UnpicklingError as error:
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"asks for {wanted[1]}, which could run code, so it is not loaded" if wanted else "is no file of tensors"
        raise DataError(f"{path}: {what}; {_TENSORS}") from error
    except _BROKEN as error:
        reason = str(error).split("\n")[0]
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}: {reason}); it is truncated, damaged or not what its name "
            "says; accepted: numpy.save, numpy.savez or torch.save of numbers; save or fetch it anew"
        ) from error
