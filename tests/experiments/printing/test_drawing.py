"""Figures for papers: PDFs of a column's width whose letters can be read, only where they are asked for; styles."""

from __future__ import annotations

import re
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.text import Text

from baselines import METHODS
from experiments.printing.drawing import COLUMN, LETTERS, PAGE, drawn, new_figure, papers, with_legend
from experiments.printing.files import write_files
from experiments.printing.styles import row_styles


def one_panel() -> Figure:
    figure, axes = new_figure()
    axes.plot([1, 2], [3, 4], label="a row")
    axes.set_title("line: mean over seeds", loc="left")
    axes.set_ylabel("Fréchet distance of fresh chains (classifier-v1 (digits) features, not FID)", fontsize=12)
    return with_legend(figure, axes)


def inches(pdf: bytes) -> tuple[float, float]:
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", pdf)
    assert box is not None
    return float(box[1]) / 72, float(box[2]) / 72


def test_a_papers_figure_has_its_columns_width_and_letters() -> None:
    figure = one_panel()
    with papers(True):
        files = drawn("figures/x", figure)
    width, height = inches(files["figures/x.pdf"])
    assert abs(width - COLUMN) < 0.02 and 2 < height < 3
    shown = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert {text.get_fontsize() for text in shown} == {LETTERS}
    assert figure.axes[0].get_title("left") == "" and "\n" in figure.axes[0].get_ylabel()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a row"]
    several = Figure(figsize=(11, 4), layout="constrained")
    several.subplots(1, 2)
    with papers(True):
        assert abs(inches(drawn("y", several)["y.pdf"])[0] - PAGE) < 0.02


def test_the_same_figure_gives_the_same_bytes() -> None:
    with papers(True):
        assert drawn("x", one_panel()) == drawn("x", one_panel())


def test_pdfs_are_made_where_they_are_asked_for_and_none_outlives_its_table(tmp_path: Path) -> None:
    with papers(True):
        write_files(tmp_path, drawn("figures/x", one_panel()))
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"x.png", "x.pdf"}
    with papers(False):
        made = write_files(tmp_path, drawn("figures/x", one_panel()))
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"x.png"} == {path.name for path in made}


def test_a_method_looks_the_same_in_every_figure() -> None:
    every = row_styles([*METHODS, "clel[lr=0.001]", "clel:large", "theirs"])
    assert row_styles(["clel"])["clel"] == every["clel"]
    assert len({(style.colour, style.marker) for style in every.values()}) == len(METHODS) + 1
    own = [every[row] for row in ("clel", "clel[lr=0.001]", "clel:large")]
    assert len({style.colour for style in own}) == 1 and len({style.dash for style in own}) == 3
