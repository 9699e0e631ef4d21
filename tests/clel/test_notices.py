"""Warnings for whoever runs a command: one line on stderr, as its errors are."""

from __future__ import annotations

import warnings

import pytest

from clel.log import shown_notices
from clel.metrics import Moments, SingularCovariance, frechet_distance
from tests.clel.features import normal


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
