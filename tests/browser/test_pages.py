"""What people see: MLflow's pages and the report, in headless Chromium."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.browser.conftest import CHROMIUM, serious_faults
from tests.conftest import FLAGSHIP, CommandResult
from tuning.study.file import parse_study
from tuning.tracking.leaderboard import leaderboard_link, share_leaderboard

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def store(finished_study: CommandResult) -> Any:
    import mlflow

    return mlflow.MlflowClient(finished_study.uri)


@pytest.fixture(scope="module")
def address(finished_study: CommandResult) -> Iterator[str]:
    """MLflow's server on the finished study, started as ``make ui`` starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tuning", "ui", "--study", str(FLAGSHIP), "--port", str(port)],
        env={**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": finished_study.uri},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    printed = process.stdout.readline().partition(": ")[2].strip()
    deadline = time.monotonic() + 180
    while True:
        assert time.monotonic() < deadline
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
            break
        except OSError:
            time.sleep(0.5)
    yield printed
    process.terminate()
    process.wait(30)


def test_the_printed_link_opens_the_leaderboard(page: "Page", address: str) -> None:
    page.goto(address)
    page.get_by_text("baseline-seed1").first.wait_for()
    text = page.inner_text("body")
    assert "test_accuracy" in text
    assert "embedding_dim" in text
    first = page.get_by_role("link", name="optuna-00").or_(
        page.get_by_role("link", name="keras_tuner-00")
    )
    assert first.count() >= 1


def test_the_leaderboard_of_a_loss_and_a_regression_has_their_columns(
    page: "Page", address: str, store: Any
) -> None:
    study = parse_study(
        {
            "name": "errors",
            "task": "errors:Task",
            "space": {"width": {"type": "int", "low": 1, "high": 9}},
            "baseline": {"width": 1},
            "objective": {"metric": "val_mae"},
            "compare": {"metric": "r2"},
            "registered_model": "errors",
        },
        "errors",
    )
    experiment = store.create_experiment("errors")
    for width, error in ((2, 0.75), (3, 0.25), (4, 0.5)):
        run = store.create_run(experiment, run_name=f"width-{width}")
        store.log_param(run.info.run_id, "width", width)
        store.log_metric(run.info.run_id, "best_val_mae", error)
        store.log_metric(run.info.run_id, "test_r2", 1 - error)
        store.set_terminated(run.info.run_id)
    share_leaderboard(store, experiment, study)
    page.goto(leaderboard_link(experiment, address.split("/#/")[0]))
    page.get_by_text("width-2").first.wait_for()
    text = page.inner_text("body")
    assert {"best_val_mae", "test_r2", "width"} <= set(text.split())
    assert text.index("width-3") < text.index("width-4") < text.index("width-2")


def test_the_compare_page_opens_on_the_objective(page: "Page", address: str, store: Any) -> None:
    experiment = store.get_experiment_by_name("imdb-lstm-sentiment")
    runs = store.search_runs(
        [experiment.experiment_id], "tags.`tuning.phase` = 'search'", max_results=6
    )
    ids = urllib.parse.quote(json.dumps([run.info.run_id for run in runs]))
    within = urllib.parse.quote(json.dumps([experiment.experiment_id]))
    root = address.split("/#/")[0]
    page.goto(f"{root}/#/compare-runs?runs={ids}&experiments={within}")
    page.get_by_text("Parallel Coordinates Plot").wait_for()
    page.get_by_text("val_accuracy").first.wait_for()
    assert f"Comparing {len(runs)} Runs" in page.inner_text("body")


def test_the_registry_shows_version_and_alias(page: "Page", address: str) -> None:
    root = address.split("/#/")[0]
    page.goto(f"{root}/#/models/imdb-lstm-sentiment-synthetic")
    page.get_by_text("challenger").first.wait_for()
    assert "Version 1" in page.inner_text("body")


def test_the_parent_run_tells_the_verdict(page: "Page", address: str, store: Any) -> None:
    experiment = store.get_experiment_by_name("imdb-lstm-sentiment")
    (parent,) = store.search_runs([experiment.experiment_id], "tags.`tuning.verdict` != ''")
    root = address.split("/#/")[0]
    page.goto(f"{root}/#/experiments/{experiment.experiment_id}/runs/{parent.info.run_id}")
    page.get_by_text("Verdict: ").first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_can_be_read_by_everybody(
    page: "Page", store: Any, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    (parent,) = store.search_runs(
        [store.get_experiment_by_name("imdb-lstm-sentiment").experiment_id],
        "tags.`tuning.verdict` != ''",
    )
    file = store.download_artifacts(parent.info.run_id, "report/report.html", str(tmp_path))
    page.emulate_media(color_scheme=scheme)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(Path(file).as_uri())
        assert not serious_faults(page)
    page.emulate_media(color_scheme=None)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_fits_its_window_and_asks_for_nothing(
    page: "Page", store: Any, tmp_path: Path, width: int
) -> None:
    (parent,) = store.search_runs(
        [store.get_experiment_by_name("imdb-lstm-sentiment").experiment_id],
        "tags.`tuning.verdict` != ''",
    )
    file = store.download_artifacts(parent.info.run_id, "report/report.html", str(tmp_path))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(Path(file).as_uri())
    assert page.get_by_role("heading", level=1).inner_text() == "imdb-lstm-sentiment"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    widths = page.eval_on_selector_all("figure img", "all => all.map(one => one.naturalWidth)")
    assert widths
    assert all(widths)
    texts = page.eval_on_selector_all("figure img", "all => all.map(one => one.alt)")
    assert all(len(text) > 60 for text in texts), "each says what it shows"
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]
