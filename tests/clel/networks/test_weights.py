"""The Inception weights: found, checked before they are opened, and downloaded.

Processes that get one file at once are in tests/clel/data/test_download.py: `get_weights` downloads by its `fetch`.
"""

import dataclasses
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clel.config import ConfigError
from clel.features import __main__ as program
from clel.features.inception import MODES
from clel.networks.weights import (
    PUBLISHED,
    STATE_DICT,
    TORCHSCRIPT,
    Weights,
    WeightsError,
    get_weights,
    locate,
    weights_folder,
)
from tests.server import served

CONTENT = b"weights " * 40_000


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with served(CONTENT) as address:
        yield address


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def described(url: str = "http://127.0.0.1:9/w.pt", content: bytes = CONTENT) -> Weights:
    digest = hashlib.sha256(content).hexdigest()
    return Weights("w.pt", digest, len(content), url, ("a",), aliases=("other-name.pt",))


def put(cache: Path, content: bytes, name: str = "w.pt") -> Path:
    path = weights_folder(cache) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEL_CACHE", "/somewhere")
    assert weights_folder() == Path("/somewhere/inception")
    assert weights_folder(Path("elsewhere")) == Path("elsewhere/inception")
    monkeypatch.delenv("CLEL_CACHE")
    assert weights_folder() == Path("cache/inception")


def test_a_right_file_under_its_name_or_the_other(tmp_path: Path) -> None:
    other = put(tmp_path, CONTENT, "other-name.pt")
    assert locate(described(), tmp_path) == other
    own = put(tmp_path, CONTENT)
    assert locate(described(), tmp_path) == own
    own.write_bytes(b"short")
    assert locate(described(), tmp_path) == other


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, r"w\.pt are not in "),
        (CONTENT[:-1], "is truncated: 319999 of 320000 bytes"),
        (b"", "is truncated: 0 of 320000 bytes"),
        (CONTENT + b"x", "is another file: 320001 bytes, the published one has 320000"),
        (b"W" + CONTENT[1:], "is another file: its SHA-256 is [0-9a-f]{64}, the published one's is [0-9a-f]{64}"),
    ],
)
@pytest.mark.parametrize("name", ["w.pt", "other-name.pt"])
def test_the_error_says_what_where_and_both_ways(tmp_path: Path, content: bytes | None, reason: str, name: str) -> None:
    if content is not None:
        put(tmp_path, content, name)
    with pytest.raises(WeightsError, match=reason) as caught:
        locate(described(), tmp_path)
    message = str(caught.value)
    assert (name if content is not None else "w.pt") in message and str(tmp_path / "inception") in message
    assert "make weights" in message and "http://127.0.0.1:9/w.pt" in message and "CLEL_CACHE" in message
    assert isinstance(caught.value, ConfigError)


def test_unreadable_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inception/w.pt").mkdir(parents=True)
    with pytest.raises(WeightsError, match=r"w\.pt cannot be read \(Is a directory\)(.|\n)*make weights"):
        locate(described(), tmp_path)

    # the tests may run as root, whom no mode stops
    def refuse(self: Path, *arguments: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    put(tmp_path / "b", CONTENT)
    monkeypatch.setattr(Path, "open", refuse)
    for action in (locate, get_weights):
        with pytest.raises(WeightsError, match=r"w\.pt cannot be read \(Permission denied\)"):
            action(described(), tmp_path / "b")


def test_a_cache_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    with pytest.raises(WeightsError, match="are not in"):
        locate(described(), tmp_path / "cache")
    with pytest.raises(WeightsError, match=r"cannot be written(.|\n)*set CLEL_CACHE to another folder"):
        get_weights(described(), tmp_path / "cache")


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_noticed(tmp_path: Path) -> None:
    path = put(tmp_path, CONTENT)
    before = path.stat()
    assert locate(described(), tmp_path) == path
    path.write_bytes(CONTENT[:-1] + b"x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WeightsError, match="another file"):
        locate(described(), tmp_path)


def test_download(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = get_weights(described(f"{server}/ok"), tmp_path)
    assert path == tmp_path / "inception/w.pt" and path.read_bytes() == CONTENT
    assert get_weights(described(), tmp_path) == path and "already there" in capsys.readouterr().err
    path.write_bytes(CONTENT[:-1])
    assert get_weights(described(f"{server}/ok"), tmp_path).read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["w.pt"]


def test_the_other_name_needs_no_download(tmp_path: Path) -> None:
    other = put(tmp_path, CONTENT, "other-name.pt")
    assert get_weights(described(), tmp_path) == other


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("/cut", CONTENT, "ended after 160000 of 320000 bytes"),
        ("/ok", b"what was published", "what came is sha256:"),
    ],
)
def test_a_failed_download_leaves_nothing(server: str, tmp_path: Path, path: str, content: bytes, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason) as caught:
        get_weights(described(server + path, content), tmp_path)
    assert str(tmp_path / "inception/w.pt") in str(caught.value) and server + path in str(caught.value)
    assert list((tmp_path / "inception").iterdir()) == []


def test_the_command(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLEL_CACHE", str(tmp_path))
    second = dataclasses.replace(described(f"{server}/ok"), file="v.pt", aliases=())
    monkeypatch.setattr(program, "PUBLISHED", (described(), second))
    assert program.main([]) == 1
    output = capsys.readouterr()
    assert output.out.split() == [str(tmp_path / "inception/v.pt")]
    assert "could not be downloaded" in output.err and "http://127.0.0.1:9/w.pt" in output.err
    monkeypatch.setattr(program, "PUBLISHED", (described(f"{server}/ok"), second))
    assert program.main(["--cache", str(tmp_path / "new")]) == 0


@pytest.mark.slow
def test_offline_the_command_fails_without_a_traceback(tmp_path: Path) -> None:
    refused = {"https_proxy": "http://127.0.0.1:9", "no_proxy": "", "CLEL_CACHE": str(tmp_path)}
    command = [sys.executable, "-m", "clel.features"]
    done = subprocess.run(command, env=os.environ | refused, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stdout == ""
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr
    for published in PUBLISHED:
        assert published.file in done.stderr and published.url in done.stderr
    assert "Check the network" in done.stderr and str(tmp_path / "inception") in done.stderr
    assert list((tmp_path / "inception").iterdir()) == []


def test_the_published_files_are_those_that_clean_fid_asks_for() -> None:
    from cleanfid.downloads_helper import inception_url
    from cleanfid.inception_pytorch import FID_WEIGHTS_URL

    assert inception_url == TORCHSCRIPT.url and FID_WEIGHTS_URL == STATE_DICT.url
    assert all(published.url.endswith(f"/{published.file}") for published in PUBLISHED)
    # torch.hub's convention: the first digits of the hash in the name
    assert all(STATE_DICT.sha256[:8] in name for name in (STATE_DICT.file, *STATE_DICT.aliases))
    for published in PUBLISHED:
        assert set(published.modes) == {name for name, mode in MODES.items() if mode.weights is published}
