"""The restricted unpickler."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clel.data import DataError
from clel.data.readers.pickles import image_rows, load_arrays

CONTENT = {
    "data": np.arange(2 * 3072).astype(np.uint8).reshape(2, 3072),
    "mean": np.linspace(0, 1, 5),
    "labels": [3, 4],
    "filenames": ["a.png", "b.png"],
    "nested": {"t": (1, None, True, 2.5, b"bytes")},
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_containers_come_back(protocol: int) -> None:
    back = load_arrays(pickle.dumps(CONTENT, protocol), "f")
    assert (back["data"] == CONTENT["data"]).all() and back["data"].dtype == np.uint8
    assert (back["mean"] == CONTENT["mean"]).all()
    assert {k: back[k] for k in ("labels", "filenames", "nested")} == {
        k: CONTENT[k] for k in ("labels", "filenames", "nested")
    }


def test_a_pickle_of_python_2_and_old_numpy() -> None:
    # as Python 2 wrote {'data': numpy.array([[1, 2]], uint8), 'labels': [7]}: strings are bytes
    old = (
        b"\x80\x02}q\x01(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01K\x02\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x02\x01\x02tbU\x06labels]K\x07au."
    )
    back = load_arrays(old, "f")
    assert back["data"].tolist() == [[1, 2]] and back["labels"] == [7]


class Touch:
    def __init__(self, path: str):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_call_is_refused_before_it_is_made(tmp_path: Path, protocol: int) -> None:
    evil = pickle.dumps({"data": Touch(str(tmp_path / "made"))}, protocol)
    with pytest.raises(DataError, match=r"batch_1: a pickle with anything but arrays in it: .*mkdir"):
        load_arrays(evil, "batch_1")
    assert not (tmp_path / "made").exists()
    pickle.loads(evil)
    assert (tmp_path / "made").exists(), "the attack works where nothing stops it"


@pytest.mark.parametrize(
    "value", [OrderedDict(a=1), np.float64(1.0), Path("x"), print, range(3), np.random.default_rng]
)
def test_other_objects_are_refused(value: Any) -> None:
    with pytest.raises(DataError, match="f: a pickle with anything but arrays"):
        load_arrays(pickle.dumps({"data": value}), "f")


def test_a_truncated_pickle_is_refused_at_every_length() -> None:
    data = pickle.dumps({"data": np.zeros(8, np.uint8), "labels": [1]}, 2)
    for cut in range(len(data)):
        with pytest.raises(DataError, match="f: not a pickle"):
            load_arrays(data[:cut], "f")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": None}, "'data' is NoneType"),
        ({"data": np.zeros((2, 3072))}, r"'data' is float64 \[2, 3072\]"),
        ({"data": np.zeros((2, 3071), np.uint8)}, r"expected uint8 \[N, 3072\]"),
        ({"labels": [1]}, "expected 2 integers"),
        ({"labels": ["a", "b"]}, "expected 2 integers"),
    ],
)
def test_batches_of_another_form_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        image_rows(CONTENT | change, "labels", "f")


def test_missing_keys_and_no_dictionary() -> None:
    with pytest.raises(DataError, match="expected 'fine_labels' among them"):
        image_rows(CONTENT, "fine_labels", "f")
    with pytest.raises(DataError, match="a pickled list"):
        load_arrays(pickle.dumps([1]), "f")
