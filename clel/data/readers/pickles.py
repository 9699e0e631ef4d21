"""Pickles of arrays, read without running what a pickle may ask for.

CIFAR and downsampled ImageNet are published as pickles. A pickle names functions and has them called; here only those
that rebuild a NumPy array are admitted.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from clel.data.images import DataError


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 writes bytes in pickles of protocol 2."""
    return text.encode("latin1") if encoding in ("latin1", "latin-1") else b""


def _admitted() -> dict[tuple[str, str], Any]:
    # the functions that NumPy itself names for an array, whatever its version calls the module they live in
    rebuild, buffer = np.zeros(0).__reduce__()[0], np.zeros(0).__reduce_ex__(5)[0]
    table: dict[tuple[str, str], Any] = {("_codecs", "encode"): _latin1}
    for package in ("numpy.core", "numpy._core"):
        table[f"{package}.multiarray", "_reconstruct"] = rebuild
        table[f"{package}.numeric", "_frombuffer"] = buffer
    return table | {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}


class _ArrayUnpickler(pickle.Unpickler):
    def __init__(self, data: bytes, where: str):
        super().__init__(io.BytesIO(data), encoding="latin1")
        self.where, self.table = where, _admitted()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.table:
            raise DataError(
                f"{self.where}: a pickle with anything but arrays in it: it asks for {module}.{name}; accepted: NumPy "
                "arrays, numbers, strings, lists, tuples and dicts; do not open it otherwise, fetch the official file"
            )
        return self.table[module, name]


def load_arrays(data: bytes, where: str) -> dict[str, Any]:
    """The dictionary pickled in `data`, of arrays, numbers, strings and plain containers; `where` names the file.

    Python 2's strings become str.

    Raises:
        DataError: a pickle that asks for anything else, before that is called; a truncated one; or no dictionary.
    """
    try:
        content = _ArrayUnpickler(data, where).load()
    except DataError:
        raise
    except Exception as error:  # damaged pickles raise whatever their opcodes run into
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{where}: not a pickle that can be read, or a truncated one ({reason})") from error
    if not isinstance(content, dict):
        raise DataError(f"{where}: a pickled {type(content).__name__}; expected a dictionary of arrays")
    return {str(key): value for key, value in content.items()}


def image_rows(content: dict[str, Any], label_key: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    """`data` uint8 [N, 3072] (channels first, 32x32) and labels int64 [N] of one batch.

    Raises:
        DataError: a missing key, or arrays of another type or shape.
    """
    missing = [key for key in ("data", label_key) if key not in content]
    if missing:
        raise DataError(f"{where}: has the keys {', '.join(content)}; expected {missing[0]!r} among them")
    data, labels = content["data"], np.asarray(content[label_key])
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3072:
        found = f"{data.dtype} {list(data.shape)}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{where}: 'data' is {found}; expected uint8 [N, 3072]")
    if labels.dtype.kind not in "iu" or labels.shape != (len(data),):
        raise DataError(f"{where}: {label_key!r} is {labels.dtype} {list(labels.shape)}; expected {len(data)} integers")
    return data, labels.astype(np.int64)
