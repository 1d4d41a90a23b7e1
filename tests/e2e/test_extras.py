"""A study with everything that is optional, told as JSON."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.losses import make_folder
from tests.e2e.process import Tune
from tests.stand_in import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.full
def test_long_runs_ablation_and_events(tmp_path: Path) -> None:
    import mlflow

    folder = make_folder(
        tmp_path / "study",
        searchers=["keras_tuner:hyperband", "optuna:cmaes(n_startup_trials=2)+asha"],
        budget={"trials": 5, "epochs": 4, "timeout": 600},
        confirm={"seeds": 2, "top_k": 1, "long_run": 6, "ablation": True},
    )
    process = Tune(folder, "--json", keras=True)
    assert process.end() == 0, process.output
    events = [json.loads(line) for line in process.output.splitlines() if line.startswith("{")]
    phases = Counter(event["phase"] for event in events if event["event"] == "trial_started")
    assert phases["baseline"] == phases["reference"] == phases["confirm"] == 2
    assert phases["search"] == 10
    assert phases["long_run"] == 4
    assert phases["ablation"] in (2, 4), "one or both hyperparameters were changed"
    assert events[-1]["event"] == "outcome"
    run_id = events[-1]["run_id"]

    client = mlflow.MlflowClient(process.uri)
    run = client.get_run(run_id)
    assert run.data.tags["tuning.search_end"] == "all trials are done"
    children = client.search_runs(
        [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'"
    )
    inherited = sum(child.data.metrics.get("inherited_epochs", 0) for child in children)
    assert run.data.metrics["epochs_saved_by_continuing"] == inherited
    longest = [child for child in children if child.data.tags["tuning.phase"] == "long_run"]
    for child in longest:
        curve = client.get_metric_history(child.info.run_id, "val_accuracy")
        assert sorted(metric.step for metric in curve) == list(range(1, 7))
        assert "test_accuracy" in child.data.metrics
    page = Path(client.download_artifacts(run_id, "report/report.html")).read_text()
    assert "Would more epochs have helped?" in page
    assert "What each change is worth" in page

    command = [sys.executable, "-m", "tuning", "compare", "--study", str(folder / "study.yaml")]
    again = subprocess.run(
        [*command, "--run-ids", f"{run_id},{run_id}x"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": process.uri, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 2
    assert f"there is no run '{run_id}x'" in again.stderr
