"""The pages as a reader has them: by mouse and keyboard, narrow and wide, light and dark; no console message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SORTED = """() => {
    const head = document.querySelector("h2#table1 + .scroll th[aria-sort]");
    const cells = [...head.closest("table").querySelectorAll("tbody td:nth-child(2)")];
    const values = cells.map((cell) => cell.dataset.sort).filter((value) => value !== "").map(Number);
    const ordered = [...values].sort((a, b) => head.ariaSort === "ascending" ? a - b : b - a);
    return values.length > 5 && values.every((value, i) => value === ordered[i]);
}"""


def every(folder: Path) -> list[Path]:
    """One page of each kind."""
    (run,) = folder.glob("pages/plain-digits-s0-*.html")
    return [folder.parent / "index.html", folder / "index.html", run]


def titles(page: Any) -> list[str]:
    """The first cells of the table for reading, as they stand."""
    return page.locator("h2#table1 + .scroll tbody tr:not(.hidden) td:first-child").all_inner_texts()  # type: ignore[no-any-return]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_and_pass_the_check_of_accessibility(opened: Any, folder: Path, width: int, scheme: str) -> None:
    """No wider than the window, every image there, and nothing that axe finds: contrast, labels, names."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for path in every(folder):
        page = opened(path, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)"), path
        found = axe.Axe().run(page)
        assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found.response["violations"]] == []


@pytest.mark.parametrize("how", ["mouse", "keyboard"])
def test_a_table_is_sorted(opened: Any, folder: Path, how: str) -> None:
    page = opened(folder / "index.html")
    head = page.locator("h2#table1 + .scroll th").nth(1)
    before = titles(page)
    orders = set()
    for _ in range(2):
        if how == "mouse":
            head.click(position={"x": 5, "y": 5})
        else:
            head.focus()
            page.keyboard.press("Enter")
        orders.add(head.get_attribute("aria-sort"))
        page.wait_for_function(SORTED)
    assert orders == {"ascending", "descending"}
    assert sorted(titles(page)) == sorted(before)


def test_rows_and_curves_are_filtered(opened: Any, folder: Path) -> None:
    page = opened(folder / "index.html")
    box = page.get_by_label("Plain EBM", exact=True)
    assert "Plain EBM" in titles(page)
    box.focus()
    page.keyboard.press("Space")
    assert "Plain EBM" not in titles(page) and "CLEL" in titles(page)
    assert page.locator('figure[data-row="Plain EBM"]').is_hidden()
    box.click()
    assert "Plain EBM" in titles(page)


def test_curves_are_drawn_against_every_cost(opened: Any, folder: Path) -> None:
    page = opened(folder / "index.html")
    options = page.locator("#curves-against option").all_inner_texts()
    assert len(options) >= 2
    for option in options:
        page.select_option("#curves-against", option)
        assert page.locator(".curve .uplot").count() == 1
    inked = page.evaluate(
        "(() => { const c = document.querySelector('.curve canvas'); const d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; return new Set(new Uint32Array(d.buffer)).size })()"
    )
    assert inked > 20  # colours: the lines of several rows


def test_runs_open_behind_a_row_and_lead_to_their_pages(opened: Any, folder: Path) -> None:
    page = opened(folder / "index.html")
    page.locator("h2#table1 + .scroll").get_by_role("button", name="IGEBM", exact=True).click()
    dialog = page.locator("dialog[open]")
    assert dialog.count() == 1 and "<script>alert('x')</script>" in dialog.inner_text()
    dialog.get_by_role("link", name="0", exact=True).click()
    assert "IGEBM, seed 0" in page.locator("h1").inner_text()
    page.go_back()
    page.locator("h2#table1 + .scroll").get_by_role("button", name="IGEBM", exact=True).press("Enter")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    page.locator('h2#table1 + .scroll tr[data-row="IGEBM"] td').nth(1).click()  # behind any of its cells
    assert page.locator("dialog[open]").count() == 1


def test_a_note_opens_by_its_letter_and_does_not_sort(opened: Any, folder: Path) -> None:
    page = opened(folder / "index.html")
    before = titles(page)
    mark = page.locator("h2#table1 + .scroll th .mark").first
    assert len(mark.get_attribute("title")) > 20
    mark.click()
    assert page.locator(".note:popover-open").count() == 1 and titles(page) == before
    page.keyboard.press("Escape")
    assert page.locator(".note:popover-open").count() == 0


def test_the_slider_shows_samples(opened: Any, folder: Path) -> None:
    page = opened(every(folder)[2])
    slider = page.locator("input[type=range]")
    slider.focus()
    page.keyboard.press("End")
    assert slider.get_attribute("aria-valuetext") == "after training" == page.locator("#pictures-words").inner_text()
    assert page.locator("#pictures-image").evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
