"""Takes the pictures of the tutorial: MLflow's pages of the studies that its pages run.

Run from the repository's root, with the packages of requirements-dev.txt and Chromium::

    python -m docs.pictures.tutorial
"""

from typing import TYPE_CHECKING

from docs.pages import blocks
from docs.pictures.browser import chromium, keep
from docs.run import ROOT, Reader

if TYPE_CHECKING:
    from playwright.sync_api import Page

TARGET = ROOT / "docs/tutorial/pictures"
SIZE = {"width": 1280, "height": 720}
PORT = 5077
LINK = """
import tuning
from tuning.tracking.leaderboard import leaderboard_link
print(leaderboard_link(tuning.load_study().record.experiment_id, "http://127.0.0.1:{port}"))
"""


def main() -> None:
    """Runs the studies of the levels 1 and 5, and photographs what a reader sees."""
    with chromium() as browser:
        with Reader() as reader:
            write_files(reader, "first-study")
            reader.shell("python digits.py")
            page = browser.new_page(viewport=SIZE)
            page.set_default_timeout(60_000)
            with_server(reader, PORT)
            page.goto(reader.python(LINK.format(port=PORT)).strip())
            page.get_by_text("baseline-seed1").first.wait_for()
            take(page, "leaderboard")
            page.goto(f"file://{reader.python('print(tuning.load_study().report())').strip()}")
            take(page, "report")
        with Reader() as reader:
            write_files(reader, "registry")
            reader.shell("tuning tune gated.py")
            with_server(reader, PORT + 1)
            page.goto(f"http://127.0.0.1:{PORT + 1}/#/models/digit-images/versions/1")
            page.get_by_text("tuning.verdict").first.wait_for()
            take(page, "version")


def write_files(reader: Reader, level: str) -> None:
    """Makes the files that a page of the tutorial shows."""
    text = (ROOT / f"docs/tutorial/{level}.md").read_text("utf-8")
    for block in blocks(text):
        if block.title:
            reader.write(block)


def with_server(reader: Reader, port: int) -> None:
    """Starts MLflow's pages on the reader's store."""
    command = f"mlflow ui --backend-store-uri sqlite:///mlflow.db --port {port}"
    reader.serve(command, f"http://127.0.0.1:{port}/health")


def take(page: "Page", name: str) -> None:
    """Keeps a picture of what is seen, with as many colours as it needs to be read."""
    close_assistant(page)
    page.wait_for_timeout(2_500)  # charts draw themselves
    keep(page.screenshot(), TARGET / f"{name}.png")


def close_assistant(page: "Page") -> None:
    """MLflow opens a panel beside its pages, which would take a quarter of the picture."""
    from playwright.sync_api import TimeoutError as NotSeenError

    inside = page.get_by_text("Ask questions about your").first
    try:
        inside.wait_for(timeout=6_000)  # it opens after the page, if it does
    except NotSeenError:
        return
    title = page.get_by_text("MLflow Assistant").first
    title.locator("xpath=ancestor::*[.//button][1]").locator("button").last.click()
    inside.wait_for(state="hidden")


if __name__ == "__main__":
    main()
