"""What a command says while it works: warnings, one line on stderr as its errors are, and its progress."""

from __future__ import annotations

import io
import warnings

import pytest

from clel.metrics import Moments, SingularCovariance, frechet_distance
from clel.storage import log
from clel.storage.log import shown_notices
from tests.clel.random_features import normal


def test_a_notice_is_one_line_and_other_warnings_stay(capsys: pytest.CaptureFixture[str]) -> None:
    few = Moments.of(normal(5, 6, 0))
    with warnings.catch_warnings(record=True) as caught, shown_notices():
        frechet_distance(few, few, force=True)
        warnings.warn("of another package", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["of another package"]
    said = capsys.readouterr().err.splitlines()
    assert said and all(line.startswith("warning: a covariance from 5 images has rank 4") for line in said)
    with pytest.warns(SingularCovariance):  # to whoever calls from Python
        frechet_distance(few, few, force=True)


class Terminal(io.StringIO):
    """Standard error in a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The second that it is."""
    seconds = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: seconds[0])
    return seconds


def work(clock: list[float], name: str = "work") -> None:
    """From 2 of 8, five seconds each."""
    with log.progress(name, 8, 2, unit="step") as shown:
        for _ in range(6):
            clock[0] += 5
            shown.set_postfix_str("loss 1", refresh=False)
            shown.update()


def test_elsewhere_progress_is_a_line_each_ten_seconds(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """As a job's log is read: lines of their own, each with the time left, estimated only from what is done here."""
    monkeypatch.setattr("sys.stderr", out := io.StringIO())
    work(clock)
    assert "\r" not in out.getvalue() and out.getvalue().endswith("\n")
    first, *lines = out.getvalue().splitlines()
    assert first.startswith("work:  25% 2/8 [00:00<?")
    assert [line.split(": ")[1] for line in lines] == [
        " 50% 4/8 [00:10<00:20,  5.00s/step, loss 1]",
        " 75% 6/8 [00:20<00:10,  5.00s/step, loss 1]",
        "100% 8/8 [00:30<00:00,  5.00s/step, loss 1]",
    ]
    monkeypatch.setattr("sys.stderr", out := io.StringIO())
    work(clock, name="")
    assert not out.getvalue()


def test_in_a_terminal_progress_is_one_line(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """However long: it is cut to the terminal's width."""
    monkeypatch.setenv("COLUMNS", "41")
    monkeypatch.setattr("sys.stderr", out := Terminal())
    work(clock, name="a long name " * 4)
    states = out.getvalue().split("\r")
    assert len(states) > 6 and all(len(state.rstrip()) <= 40 for state in states)
    assert out.getvalue().count("\n") == 1 and out.getvalue().endswith("\n")


def test_a_full_disk_ends_nothing_that_is_shown(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stderr", Full())
    work(clock)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (150, "2 min 30 s"),
        (3599.6, "1 h 00 min"),
        (3600 + 29, "1 h 00 min"),
        (40 * 3600 + 5 * 60, "40 h 05 min"),
        (6525 * 3600 + 59 * 60 + 31, "6,526 h 00 min"),
    ],
)
def test_a_duration_names_its_units(seconds: float, said: str) -> None:
    """40 hours and 40 minutes cannot be taken for each other."""
    assert log.duration(seconds) == said
