"""A driver that is killed at any instant, and the study that goes on until it is done."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.contract.executor_contract import alive
from tests.factories import STUDY

pytestmark = pytest.mark.slow

TRIALS = 4


def tune(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tuning.cli", "tune", "--study", str(folder / "study.yaml")]
    command += ["--workers", "2", "--cache-dir", str(folder / "cache"), *arguments]
    env = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    study = yaml.safe_load(STUDY)
    study["budget"] = {"trials": TRIALS, "epochs": 3}
    study["searchers"] = ["random", "optuna"]
    study["task_options"] = {"rows": 4000}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    return tmp_path


def check(folder: Path) -> None:
    """What must be true of a finished study, however often it was killed."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    (parent,) = [run for run in runs if "tuning.study" in run.data.tags]
    trials = [run for run in runs if "tuning.trial" in run.data.tags]
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parent.info.run_id}
    assert max(Counter(run.info.run_name for run in trials).values()) == 1
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    by_searcher = Counter(run.data.tags["tuning.searcher"] for run in trials)
    assert by_searcher["random"] == by_searcher["optuna"] == TRIALS
    assert by_searcher["baseline"] == 2
    for searcher in ("random", "optuna"):
        configs = [
            run.data.tags["tuning.config"]
            for run in trials
            if run.data.tags["tuning.searcher"] == searcher
        ]
        assert len(set(configs)) == len(configs)
    for run in trials:
        steps = [
            metric.step for metric in client.get_metric_history(run.info.run_id, "val_accuracy")
        ]
        assert steps == list(range(1, len(steps) + 1))
        if run.data.tags["tuning.state"] == "completed":
            assert client.get_logged_model(run.data.tags["tuning.model"])
    assert parent.data.tags["tuning.verdict"] in ("better", "inconclusive", "worse")
    assert client.list_artifacts(parent.info.run_id, "report")


@pytest.mark.parametrize("round_", range(2))
def test_sigkill_at_random_instants(folder: Path, round_: int) -> None:
    """Up to three kills, each after a random line of the terminal's and part of a second."""
    kills = 0
    instants = random.Random(round_)
    arguments: list[str] = []
    # Later and later, so that every phase is met: the terminal prints about 16 lines.
    for lines in (instants.randint(3, 5), instants.randint(4, 8), instants.randint(2, 9)):
        process = tune(folder, *arguments)
        assert process.stdout is not None
        for _, _ in zip(range(lines), process.stdout, strict=False):
            pass
        time.sleep(instants.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
        if process.returncode == 0:
            break  # it was done before the signal came
        assert process.returncode == -signal.SIGKILL, output
        kills += 1
        arguments = ["--resume", "last"]
    assert kills >= 2
    process = tune(folder, *arguments)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    check(folder)


def test_ctrl_c_ends_after_the_epoch_and_the_study_goes_on(folder: Path) -> None:
    process = tune(folder, "--epochs", "40")
    assert process.stdout is not None
    for line in process.stdout:
        if "baseline-seed" in line:
            break
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False
    )
    os.kill(process.pid, signal.SIGINT)
    output = process.stdout.read()
    assert process.wait() == 130, output
    assert "Stopping after the running epochs" in output
    assert (
        f"Go on with: mlflow run . -e tune -P study={folder / 'study.yaml'} -P resume=" in output
    )
    deadline = time.monotonic() + 15
    while any(alive(int(pid)) for pid in children.stdout.split()):
        assert time.monotonic() < deadline, "workers outlived the driver"
        time.sleep(0.2)
    process = tune(folder, "--resume", "last")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    check(folder)


def test_a_changed_study_is_refused_and_nothing_is_touched(folder: Path) -> None:
    process = tune(folder)
    process.communicate()
    assert process.returncode == 0
    study = yaml.safe_load((folder / "study.yaml").read_text())
    study["baseline"]["units"] = 4
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    process = tune(folder, "--resume", "last")
    output, _ = process.communicate()
    assert process.returncode == 2, output
    assert "units: 4" in output
    study["baseline"]["units"] = 2
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    check(folder)
