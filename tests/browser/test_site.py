"""The site of the documents, opened from the disk in headless Chromium."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import CHROMIUM, SECONDS, serious_faults

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [
    pytest.mark.full,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
ROOT = Path(__file__).parents[2]
PAGES = ("index", "tutorial/own-model", "reference/python")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(command, cwd=ROOT, env=env, check=True)
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_can_be_read_by_everybody_and_ask_for_nothing(
    browser: "Browser", site: Path, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in PAGES:
        page.goto((site / f"{name}.html").as_uri())
        assert not serious_faults(page), name
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]
    page.close()


def test_the_search_works_from_the_disk(browser: "Browser", site: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(SECONDS)
    page.goto((site / "index.html").as_uri())
    page.locator(".md-search__input").first.click(force=True)
    page.locator("input.md-search__input").press_sequentially("resume")
    page.locator(".md-search-result__item").first.wait_for(state="attached")
    page.close()
