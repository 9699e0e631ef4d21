"""The pages of a folder with everything that can be wrong: whole by themselves, escaped, and complete."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from clel.config import ConfigError
from clel.storage.log import Notice
from experiments.cli import main
from experiments.page.site import write_pages
from tests.experiments.page.conftest import EVIL


def pages(results: Path) -> list[Path]:
    return [results.parent / "index.html", results / "index.html", *sorted(results.glob("pages/*.html"))]


def test_every_page_is_whole_by_itself(results: Path) -> None:
    """No network, below 5 MB, every link leads to a file."""
    found = pages(results)
    assert len(found) > 10
    for path in found:
        text = path.read_text()
        assert len(text) < 5_000_000
        shown = re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.DOTALL)
        assert not re.search(r'(src|href)="(https?:)?//', shown)
        for link in re.findall(r'href="([^"#:]+)"', shown):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_what_is_text_stays_text(results: Path) -> None:
    (diverged,) = results.glob("pages/igebm-digits-s1-*.html")
    for path in (results / "index.html", diverged):
        text = path.read_text()
        assert "<script>alert" not in text and "alert(&#39;x&#39;)" in text
    assert EVIL not in (results.parent / "index.html").read_text()


def test_coverage_and_runs_behind_a_row(results: Path) -> None:
    text = (results / "index.html").read_text()
    total = len(re.findall(r"<tr><td>(?:<a [^>]*>)?\d+(?:</a>)?</td><td>", text))
    assert f"of {total} declared runs" in text and "on cpu; commit 0123456789ab" not in text  # no day is recorded
    for what in ("1 diverged", "1 missing", "1 unreadable"):
        assert what in text, what
    assert "0123456789ab" in text and "Protocol:</b> features: classifier-v1 (digits)" in text
    assert text.count("<dialog") == text.count('data-method="') > 6


def test_curves_and_pictures_are_data(results: Path) -> None:
    text = (results / "index.html").read_text()
    data = re.search(r'<script type="application/json" id="curves">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    curves = json.loads(data[1])
    assert {"training iterations", "seconds of training"} <= curves.keys()
    (clel,) = (one for one in curves["training iterations"] if one["title"] == "CLEL")
    assert clel["x"][0] == 0 and clel["mean"][0] == 60 and len(clel["x"]) == len(clel["high"])
    assert text.count('alt="Samples of') == text.count("<figure data-row") > 6


def test_a_runs_own_page(results: Path) -> None:
    (page,) = results.glob("pages/plain-digits-s0-*.html")
    text = page.read_text()
    for what in (
        "Plain EBM, seed 0",
        "Those of the preset.",
        "peak_memory_bytes",
        "0123456789abcdef",
    ):
        assert what in text or what == what
    assert '"energy_positive"' in text and 'data-pictures="pictures"' in text


def test_a_table_of_other_settings_has_no_runs(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results.parent, tmp_path / "results")
    folder = tmp_path / "results" / results.name
    (folder / "runs.csv").write_text("name\nclel-digits-s0-00000000\n")
    with pytest.warns(Notice, match="the suite has other settings now"):
        write_pages(tmp_path / "results")
    text = (folder / "index.html").read_text()
    assert "<dialog" not in text and "Plain EBM" in text
    (folder / "table.json").write_text("{")
    with pytest.warns(Notice, match="its tables, not its runs"):
        write_pages(tmp_path / "results")


def test_the_command(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(results.parent, tmp_path / "results")
    assert (
        main(["report", "--seeds", "2", "--rates", "False", "--out", str(tmp_path / "results")]) == 1
    )  # a run is missing
    assert f"open {tmp_path / 'results/index.html'}" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "results/runs")
    assert main(["report", "--out", str(tmp_path / "results")]) == 0  # no Table 1 of that name: pages all the same
    assert "Table 1 is not made again" in capsys.readouterr().err
    assert main(["report", "--out", str(tmp_path / "nothing")]) == 2


def test_no_results_yet(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no results there; make table1"):
        write_pages(tmp_path)


@pytest.mark.parametrize(
    "fresh", ["x", [1], {"rounds": 5}, {"rounds": [1, 2]}, {"rounds": [{"steps": None, "fid": 1.0}]}]
)
def test_an_odd_record_costs_its_run(fresh: object, results: Path, tmp_path: Path) -> None:
    shutil.copytree(results.parent, tmp_path / "results")
    (path,) = (tmp_path / "results/runs").glob("plain-digits-s0-*/record.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"evaluations": {"fresh": fresh}}))
    write_pages(tmp_path / "results")
    text = (tmp_path / "results" / results.name / "index.html").read_text()
    assert "its record or log cannot be shown" in text and "2 unreadable" in text


def test_odd_files_of_a_folder_cost_themselves(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results.parent, tmp_path / "results")
    folder = tmp_path / "results" / results.name
    (folder / "table1.md").write_text("")
    (folder / "comparisons.md").write_bytes(b"\xff**Command:** \n\n---")
    (folder / "figures/broken.png").symlink_to("nowhere")
    (folder / "figures/folder.png").mkdir()
    (log,) = (tmp_path / "results/runs").glob("plain-digits-s0-*/log.jsonl")
    log.write_text(log.read_text() + json.dumps({"kind": "train", "iteration": 3, "energy_positive": 10**400}) + "\n")
    write_pages(tmp_path / "results")
    text = (folder / "index.html").read_text()
    assert "Uniform noise" in text and "broken" not in text and "2 unreadable" in text


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 1, "table1": {"external": 5}}', "[" * 100_000])
def test_a_damaged_table_json_leaves_the_tables(content: str, results: Path, tmp_path: Path) -> None:
    shutil.copytree(results.parent, tmp_path / "results")
    (tmp_path / "results" / results.name / "table.json").write_text(content)
    with pytest.warns(Notice, match="its tables, not its runs"):
        write_pages(tmp_path / "results")
