from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.sweep.naming import Named
from tests.experiments.page.conftest import make

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason="no Chromium: apt-get install chromium"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as play:
        yield play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results of some hundred runs, with its pages."""
    out = tmp_path_factory.mktemp("browsed")
    return make(out, Named(seeds=16, rates=False, out=out))


class Opened:
    """A page in the browser, and what it complained of."""

    def __init__(self, browser: Any, path: Path, width: int, scheme: str) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("requestfailed", lambda request: self.said.append(request.url[:100]))
        self.page.goto(path.as_uri())


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """(path, width, scheme) -> the page, closed when the test ends; by then it may have complained of nothing."""
    pages: list[Opened] = []

    def open_page(path: Path, width: int = 1280, scheme: str = "light") -> Any:
        pages.append(Opened(browser, path, width, scheme))
        return pages[-1].page

    yield open_page
    said = [text for page in pages for text in page.said]
    for page in pages:
        page.page.close()
    assert said == []
