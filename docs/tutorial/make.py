"""Writes docs/tutorial.md: runs every command in it and photographs MLflow's pages.

Run from the repository's root, with the packages of requirements-dev.txt and Chromium::

    python -m docs.tutorial.make                     # trains first: minutes on the real reviews
    MLFLOW_TRACKING_URI=sqlite:////abs/mlflow.db python -m docs.tutorial.make --run-id last

The second form shows a study that is in the store already.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.server import served, started

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from playwright.sync_api import Page

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXPERIMENT = "imdb-lstm-sentiment"
SIZE = {"width": 1440, "height": 860}
WIDTH = 110
REVIEWS = [
    "A moving film with a clever script; I would gladly see it again.",
    "Not bad at all.",
    "I wanted to like it, but after an hour I looked at my watch more than at the screen.",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-id", help="a finished study instead of a new one, or last")
    parser.add_argument("--dataset", default="imdb")
    options = parser.parse_args()
    os.chdir(ROOT)
    scripts = str(Path(sys.executable).parent)
    os.environ["PATH"] = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    if not options.run_id:
        run("-e", "tune", "-P", f"dataset={options.dataset}", "--experiment-name", EXPERIMENT)

    client, parent = find_study(options.run_id or "last")
    name = client.search_model_versions(f"run_id='{parent.info.run_id}'")[0].name
    aliases = client.get_registered_model(name).aliases
    alias = "champion" if "champion" in aliases else "challenger"
    with started(
        [
            sys.executable,
            "-m",
            "tuning",
            "ui",
            "--study",
            str(ROOT / "pipelines/imdb/study.yaml"),
            "--port",
        ],
        "/health",
    ) as port:
        photograph(client, parent, name, f"http://127.0.0.1:{port}")
    with served(f"models:/{name}@{alias}") as port:
        answer = ask(port)
    shown = {
        "tables": tables(client, parent),
        "verdict": parent.data.tags["tuning.verdict"],
        "promote": run("-e", "promote", may_fail=True),
        "history": run("-e", "history"),
        "predict": run("-e", "predict", "-P", f"text={REVIEWS[2]}", "-P", "explain=yes"),
        "answer": answer,
        "name": name,
        "alias": alias,
        "reviews": REVIEWS,
        "seconds": round((parent.info.end_time - parent.info.start_time) / 1000),
        "trials": int(parent.data.metrics["trials_completed"]),
    }
    write(shown)


def run(*arguments: str, may_fail: bool = False) -> str:
    """What ``mlflow run .`` prints of ours, without MLflow's own lines."""
    command = ["mlflow", "run", ".", "--env-manager", "local", *arguments]
    print("$", " ".join(command), file=sys.stderr)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and not may_fail:
        raise SystemExit(done.stdout + done.stderr)
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    ours = [
        line for line in lines if not re.match(r"\d{4}/\d\d/\d\d |.*(Traceback|mlflow\.)", line)
    ]
    fitting = [
        part
        for line in ours
        for part in ([line] if len(line) <= WIDTH else textwrap.wrap(line, WIDTH))
    ]
    return "\n".join(line.rstrip() for line in fitting).strip()


def find_study(run_id: str) -> "tuple[MlflowClient, Any]":
    from tuning.tracking.store import open_store, resolve_uri
    from tuning.workflow.resume import find_run

    uri = resolve_uri()
    os.environ["MLFLOW_TRACKING_URI"] = uri
    client = open_store(uri)
    return client, client.get_run(find_run(client, run_id, EXPERIMENT))


def tables(client: "MlflowClient", parent: Any) -> str:
    """The verdict and the two tables, as the run's description has them."""
    note: str = parent.data.tags["mlflow.note.content"]
    return note.split("The whole report")[0].strip()


def ask(port: int) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        json.dumps({"inputs": REVIEWS}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.dumps(json.load(answer), indent=2)


def photograph(client: "MlflowClient", parent: Any, name: str, address: str) -> None:
    from playwright.sync_api import sync_playwright

    from tuning.tracking.leaderboard import leaderboard_link

    experiment = parent.info.experiment_id
    runs = client.search_runs(
        [experiment],
        f"tags.`mlflow.parentRunId` = '{parent.info.run_id}' and tags.`tuning.state` = 'completed'"
        " and tags.`tuning.phase` = 'search'",
        order_by=["metrics.best_val_accuracy DESC"],
        max_results=8,
    )
    ids = urllib.parse.quote(json.dumps([each.info.run_id for each in runs]))
    within = urllib.parse.quote(json.dumps([experiment]))
    version = client.get_registered_model(name).aliases["challenger"]
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(60_000)
        for picture, url, text in (
            ("leaderboard", leaderboard_link(experiment, address), "baseline-seed1"),
            (
                "compare",
                f"{address}/#/compare-runs?runs={ids}&experiments={within}",
                "Parallel Coordinates Plot",
            ),
            (
                "trial",
                f"{address}/#/experiments/{experiment}/runs/{runs[0].info.run_id}/model-metrics",
                "val_accuracy",
            ),
            (
                "study",
                f"{address}/#/experiments/{experiment}/runs/{parent.info.run_id}",
                "Verdict",
            ),
            ("version", f"{address}/#/models/{name}/versions/{version}", "tuning.verdict"),
        ):
            page.goto(url)
            page.get_by_text(text).first.wait_for()
            close_assistant(page)
            if picture == "study":
                page.get_by_text(text).first.scroll_into_view_if_needed()
            page.wait_for_timeout(2_500)  # charts draw themselves
            save(page.screenshot(), picture)
        report = client.download_artifacts(parent.info.run_id, "report/report.html")
        page.goto(Path(report).as_uri())
        save(page.screenshot(), "report")
        browser.close()


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


def save(png: bytes, picture: str) -> None:
    """Keeps a picture with as many colours as it needs to be read."""
    import io

    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.quantize(64).save(HERE / f"{picture}.png", optimize=True)


def write(shown: dict[str, Any]) -> None:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown of our own making
    )
    text = environment.get_template("tutorial.md.j2").render(shown)
    (ROOT / "docs" / "tutorial.md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
