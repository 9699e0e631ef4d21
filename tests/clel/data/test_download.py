"""Downloads, from a server on this machine."""

import multiprocessing
import os
import random
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clel.config import ConfigError
from clel.data import DataError, sources
from clel.data.__main__ import main
from clel.data.download import download, fetch
from clel.data.sources import Remote
from tests.clel.data.conftest import md5, write
from tests.server import served

CONTENT = random.Random(0).randbytes(700_000)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with served(CONTENT) as address:
        yield address


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def remote(*urls: str, digest: str = md5(CONTENT)) -> Remote:
    return Remote("a.tar.gz", urls, digest)


def test_success(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = fetch(remote(f"{server}/ok"), tmp_path / "new" / "folder")
    assert path == tmp_path / "new/folder/a.tar.gz" and path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["a.tar.gz"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o400 and "700k/700k" in capsys.readouterr().err
    mask = os.umask(0o022)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_a_right_file_is_kept_and_a_wrong_one_replaced(server: str, tmp_path: Path) -> None:
    target = write(tmp_path / "a.tar.gz", CONTENT)
    assert fetch(remote("http://127.0.0.1:9/unreachable"), tmp_path) == target
    target.write_bytes(CONTENT[:-1])
    fetch(remote(f"{server}/ok"), tmp_path)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "digest", "message"),
    [
        ("/ok", md5(b"other"), r"what came is md5:\w+ \(700000 bytes\), the published file is md5:"),
        ("/cut", md5(CONTENT), "ended after 350000 of 700000 bytes"),
        ("/cut", md5(CONTENT[:350_000]), "ended after 350000 of 700000 bytes"),
        ("/gone", md5(CONTENT), "404"),
    ],
)
def test_what_is_wrong_leaves_what_was_there(server: str, tmp_path: Path, path: str, digest: str, message: str) -> None:
    target = write(tmp_path / "a.tar.gz", b"old")
    with pytest.raises(DataError, match=message) as caught:
        fetch(remote(server + path, digest=digest), tmp_path)
    assert str(target) in str(caught.value) and server + path in str(caught.value)
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


def test_the_next_mirror_is_tried(server: str, tmp_path: Path) -> None:
    assert fetch(remote(f"{server}/gone", f"{server}/cut", f"{server}/ok"), tmp_path).read_bytes() == CONTENT


def test_offline(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/ok"
        with pytest.raises(DataError, match=r"could not be downloaded(.|\n)*refused(.|\n)*on a machine with a network"):
            fetch(remote(url), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(server: str, tmp_path: Path) -> None:
    write(tmp_path / "file", b"")
    with pytest.raises(DataError, match="cannot be written"):
        fetch(remote(f"{server}/ok"), tmp_path / "file")


def test_room_is_looked_at_first(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clel.storage.atomic.room_in", lambda folder: 100)
    with pytest.raises(ConfigError, match=r"a\.tar\.gz: takes 700 kB, and 0 kB are free there"):
        fetch(remote(f"{server}/ok"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def _racer(url: str, folder: Path, barrier: "multiprocessing.synchronize.Barrier") -> None:
    barrier.wait()
    fetch(remote(url), folder)


def test_a_race_of_processes(server: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    racers = [context.Process(target=_racer, args=(f"{server}/slow", tmp_path, barrier)) for _ in range(3)]
    for racer in racers:
        racer.start()
    seen = set()
    while any(racer.is_alive() for racer in racers):
        # whoever looks meanwhile sees no file or the whole one
        if (tmp_path / "a.tar.gz").exists():
            seen.add((tmp_path / "a.tar.gz").stat().st_size)
        time.sleep(0.002)
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    assert seen <= {len(CONTENT)}
    assert (tmp_path / "a.tar.gz").read_bytes() == CONTENT and len(list(tmp_path.iterdir())) == 1


def test_a_data_set_by_name(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = (Remote("x.mat", (f"{server}/ok",), md5(CONTENT)), Remote("y.mat", (f"{server}/ok",), md5(CONTENT)))
    monkeypatch.setattr(sources, "remotes", lambda name: files)
    assert download("svhn", tmp_path) == [tmp_path / "svhn/x.mat", tmp_path / "svhn/y.mat"]
    assert download("digits", tmp_path) == []


def test_data_sets_that_need_a_person(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"list_attr_celeba\.txt\) at https://mmlab"):
        download("celeba64", tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'svhn'"):
        download("svnh", tmp_path)


def test_the_command(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sources, "remotes", lambda name: (remote(f"{server}/ok"),))
    monkeypatch.setenv("CLEL_DATA", str(tmp_path))
    assert main(["cifar10"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "cifar10/a.tar.gz")
    monkeypatch.setattr(sources, "remotes", lambda name: (remote(f"{server}/gone"),))
    assert main(["cifar10", "--root", str(tmp_path / "other")]) == 1
    assert "404" in capsys.readouterr().err
    assert main(["cifra10"]) == 1
    assert "did you mean 'cifar10'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "dtd", "mnist", "fashion_mnist"])
def test_published_files(name: str) -> None:
    files = sources.remotes(name)
    assert files and all(f.digest.startswith("md5:") and len(f.digest) == 36 for f in files)
    assert all(url.startswith("http") and url.endswith(f.file) for f in files for url in f.urls)
