"""What may be printed as reported, and the refusal of malformed rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from clel.config import ConfigError
from experiments.reading.published import COLUMNS, load_published, reported

GOOD = "cifar10,x,X,fid,12.30,FID,Paper Table 1,yes,"


def write(path: Path, *rows: str) -> Path:
    file = path / "published.csv"
    file.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    return file


@pytest.mark.parametrize(
    ("row", "fid", "parameters", "hours", "memory"),
    [
        ("igebm", "38.20", None, None, None),
        ("plain", "23.50", "6.96", "38", "6"),
        ("clel-base", "15.27", "6.96", "41", "7"),
        ("clel-multiscale", "12.46", "19.29", "74", "8"),
        ("clel-multiscale-256", "11.65", "19.29", "76", "10"),
        ("clel-large", "8.61", "30.7", "133", "11"),
        ("vaebm", "12.19", "135.88", "414", "129"),
        ("drl-n8", "9.58", "34.83", "652", "40"),
        ("drl-n2", "17.34", "9.06", "163", "10"),
        ("improved-cd", "25.10", "6.64", None, None),
    ],
)
def test_figures_of_the_paper(
    row: str, fid: str, parameters: str | None, hours: str | None, memory: str | None
) -> None:
    found = [reported(row, metric) for metric in ("fid", "parameters", "hours", "memory")]
    assert [figure and figure.text() for figure in found] == [fid, parameters, hours, memory]


def test_every_verified_figure_names_a_document() -> None:
    figures = load_published().values()
    assert any(not figure.verified for figure in figures)
    for figure in figures:
        hearsay = "second-hand" in figure.source or "recalled" in figure.source
        assert not (figure.verified and hearsay), figure


def test_unverified_figures_are_not_reported_and_say_so() -> None:
    for (dataset, row, metric), figure in load_published().items():
        if not figure.verified:
            assert reported(row, metric, dataset) is None
            assert figure.text() == f"{figure.printed} (unverified)"


def test_other_data_set_and_rows_without_papers() -> None:
    large = reported("clel-large", "fid", dataset="imagenet32")
    assert large is not None
    assert large.value == 15.47
    assert large.source == "Energy Matching (arXiv 2504.10612) Table 2"
    assert reported(None, "fid") is None
    assert reported("no such row", "fid") is None


def test_reads_what_is_printed(tmp_path: Path) -> None:
    figures = load_published(write(tmp_path, GOOD))
    figure = reported("x", "fid", figures=figures)
    assert figure is not None
    assert (figure.value, figure.text(), figure.unit) == (12.3, "12.30", "FID")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("cifar10,,X,fid,1,FID,Paper,yes,", "'row' is empty"),
        ("cifar10,x,X,fid,,FID,Paper,yes,", "'value' is empty"),
        ("cifar10,x,X,fid,nan,FID,Paper,yes,", "'nan' is not a finite number"),
        ("cifar10,x,X,fid,-1,FID,Paper,yes,", "not a finite number of at least 0"),
        ("cifar10,x,X,fid,7.xx,FID,Paper,yes,", "'7.xx' is not"),
        ("cifar10,x,X,fid,1,FID,,yes,", "'source' is empty"),
        ("cifar10,x,X,fid,1,FID,Paper,maybe,", "verified is 'maybe'; expected yes or no"),
        ("cifar10,x,X,fid,1,GB,Paper,yes,", "expected 'FID'"),
        ("cifar10,x,X,fidd,1,FID,Paper,yes,", "known metrics: fid"),
        ("cifar10,x,X,fid,1,FID,Paper,yes", "fewer cells"),
        ("cifar10,x,X,fid,1,FID,Paper, Table 1,yes,", "more cells"),
        (GOOD, "a second figure for cifar10 x fid"),
    ],
)
def test_malformed_rows_are_refused_with_their_line(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"published.csv, line 3: ") as error:
        load_published(write(tmp_path, GOOD, row))
    assert message in str(error.value)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "published.csv").write_text("dataset,row\n")
    with pytest.raises(ConfigError, match=r"expected .*'verified'"):
        load_published(tmp_path / "published.csv")
