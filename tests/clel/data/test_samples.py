"""Samples whatever they are stored in: the same pixels and hash, nothing large held, data sets, runs, other names."""

import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from clel.config import ConfigError
from clel.data import DataError, Images, load, open_samples
from clel.data.readers import arrays_in
from clel.data.samples import existing, named_split
from tests.clel.data.conftest import encode, write
from tests.clel.data.test_samples_arrays import GREY, RGB, npy, npz, pixels, pt


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.sampled_from([1, 3]), *[st.integers(4, 6)] * 2)),
    size=st.integers(1, 7),
    piece=st.integers(1, 300),
)
def test_every_format_gives_the_same_pixels_and_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: np.ndarray, size: int, piece: int
) -> None:
    monkeypatch.setattr(arrays_in, "PIECE", piece)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for row, image in enumerate(values):
            archive.writestr(f"{row}.png", encode(image[0] if len(image) == 1 else image.transpose(1, 2, 0)))
    np.savez_compressed(tmp_path / "packed.npz", x=values / np.float32(255))
    last = torch.from_numpy(values.transpose(0, 2, 3, 1).copy())
    files = [npy(tmp_path, values), npz(tmp_path, x=values), pt(tmp_path, {"x": last}), tmp_path / "a.zip"]
    expected = Images(torch.from_numpy(values)).content_hash() if values.shape[2] == values.shape[3] else None
    hashes = set()
    for file in (*files, tmp_path / "packed.npz"):
        samples = open_samples(file)
        assert (pixels(samples, size) == values).all()
        hashes.add(samples.content_hash())
    assert len(hashes) == 1 and expected in (None, *hashes)
    assert open_samples(npy(tmp_path, values[::-1] ^ 1)).content_hash() not in hashes


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_a_large_array_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    values = np.zeros((3000, 3, 32, 32), np.float32)  # 37 MB
    values[-1] = 1
    path = npy(tmp_path, values) if kind == "npy" else npz(tmp_path, a=values)
    del values
    monkeypatch.setattr(arrays_in, "PIECE", 1 << 20)
    tracemalloc.start()
    samples = open_samples(path)
    total = sum(int(chunk.sum(dtype=torch.int64)) for chunk in samples.chunks(100))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 255 * 3 * 32 * 32
    assert peak < 6 << 20


def test_data_sets(tmp_path: Path, class_folder: Path) -> None:
    for text, split, notes in (
        ("digits", "train", ("the split is train, as none was named",)),
        ("digits:train", "train", ()),
        ("digits:test", "test", ()),
    ):
        samples, images = open_samples(text), load("digits", split)
        assert (samples.name, samples.n, samples.shape) == (f"digits/{split}", len(images), images.spec.shape)
        assert samples.conversions == notes
        assert (pixels(samples) == images.pixels.numpy()).all()
    held_out = open_samples("pets:test", root=class_folder.parent)
    assert (held_out.name, held_out.n) == ("pets/test", 2)
    assert open_samples("pets", root=class_folder.parent).n == 24


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("digts", "no such file or folder, and no data set of that name; did you mean 'digits'"),
        ("digits:valid", "'valid' after the colon; accepted: one of train, test"),
        ("none.npy", r"none\.npy: no such file"),
        ("none.npy:CHW", r"none\.npy:CHW: no such file"),
        ("", "no such file"),
        ("a.h5", r"a\.h5: a kind of file that is not read; accepted: a folder or \.zip"),
        ("a.png", r"a\.png: a kind of file that is not read"),
    ],
)
def test_other_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("a.h5"), b"x")
    write(Path("a.png"), encode(GREY[0, 0]))
    with pytest.raises(DataError, match=message):
        open_samples(text)
    with pytest.raises(ConfigError, match="did you mean 'digits'"):
        open_samples("digts:test")


def record(run: Path, status: str, place: str | None, n: int | None = None, source: str = "fresh") -> None:
    metrics = {} if n is None else {"metrics": {"n": n}}
    evaluations = {source: {"folder": place} | metrics} if place else {}
    write(run / "record.json", json.dumps({"status": status, "evaluations": evaluations}).encode())


def test_a_run_is_its_samples(tmp_path: Path) -> None:
    run = tmp_path / "ebm-digits-s0-12345678"
    write(run / "config.json", b"{}")
    write(run / "log.jsonl", b"")
    write(run / "samples" / "fresh-1.png", encode(RGB[0, 0]))
    with pytest.raises(DataError, match="a run that has not ended"):
        open_samples(run)
    record(run, "oom", None)
    with pytest.raises(DataError, match="ended as 'oom', without samples of fresh chains"):
        open_samples(run)
    record(run, "oom", "evaluations/clean-0a")
    with pytest.raises(DataError, match="ended as 'oom', without samples"):
        open_samples(run)
    memory = io.BytesIO()
    np.save(memory, RGB[..., :3])
    write(run / "evaluations/clean-0a/samples.npy", memory.getvalue())
    assert open_samples(run).conversions == ("the run ended as 'oom': samples of its last good checkpoint",)
    record(run, "ok", "evaluations/clean-0a", len(RGB))
    samples = open_samples(run)
    assert (samples.name, samples.conversions) == (run.name, ())
    assert (pixels(samples) == RGB[..., :3]).all()


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"status": "ok", "evaluations": {"fresh": []}}'])
def test_a_run_without_a_good_record_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path / "run" / "record.json", text.encode())
    with pytest.raises(DataError, match=r"record\.json: damaged, or of another version"):
        open_samples(tmp_path / "run")


def test_a_run_with_other_samples_than_those_measured_is_refused(tmp_path: Path) -> None:
    memory = io.BytesIO()
    np.save(memory, RGB)
    write(tmp_path / "run" / "evaluations/x/samples.npy", memory.getvalue())
    record(tmp_path / "run", "ok", "evaluations/x", 5000)
    with pytest.raises(DataError, match=f"holds {len(RGB)} of the 5000 images that were measured"):
        open_samples(tmp_path / "run")
    record(tmp_path / "run", "ok", "evaluations/x", source="paper")
    with pytest.raises(DataError, match=r"it has others: .*run/evaluations/x/samples\.npy"):
        open_samples(tmp_path / "run")


def test_what_names_a_split(tmp_path: Path, class_folder: Path) -> None:
    root = class_folder.parent
    assert named_split("digits") == named_split("digits:train") == ("digits", "train")
    assert named_split("pets:test", root) == ("pets", "test")
    assert named_split("pets", root) is named_split("a.npy:CHW", root) is None
    assert existing("pets", root) == class_folder and existing("cats", root) is existing("", root) is None


def test_a_chunk_has_at_least_one_image() -> None:
    with pytest.raises(ConfigError, match="chunks of 0 images"):
        list(open_samples("digits").chunks(0))
