"""What a command says while it works: warnings, one line on stderr as its errors are, and its progress."""

from __future__ import annotations

import io
import warnings

import pytest

from clel.metrics import Moments, SingularCovariance, frechet_distance
from clel.storage import log
from clel.storage.log import Progress, shown_notices
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


def test_progress_estimates_only_from_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 30.0, 60.0])
    monkeypatch.setattr(log.time, "monotonic", lambda: next(clock))
    out = io.StringIO()
    progress = Progress("work", 4, 2, out, every=0.0)
    for done in (2, 3, 4):
        progress.show(done)
    assert [line.split("left ")[1].rstrip() for line in out.getvalue().splitlines()] == ["?", "30 s", "0 s"]


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
