"""A small study, and what must not be lost of it, however often it was killed."""

import atexit
import os
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.process import Tune
from tests.stores import copy_store, empty_store

TRIALS = 4
EPOCHS = 3
SEARCHERS = ("random", "optuna")
SEEDS = 2
# The baseline, the search, one reference and one candidate.
EXPECTED = SEEDS + len(SEARCHERS) * TRIALS + SEEDS + SEEDS

STUDY = f"""
name: toy
task: tests.toy_task:ToyTask
task_options: {{rows: 4000, servable: true}}
space:
  units: {{type: int, low: 2, high: 12, step: 2}}
  rate: {{type: float, low: 0.0, high: 0.3, step: 0.1}}
training: {{batch_size: 16}}
baseline: {{units: 2, rate: 0.0}}
references:
  hand-tuned: {{units: 8, rate: 0.3}}
searchers: {list(SEARCHERS)}
budget: {{trials: {TRIALS}, epochs: {EPOCHS}}}
confirm: {{seeds: {SEEDS}, top_k: 1}}
registered_model: toy
"""


def make_folder(folder: Path, **changes: Any) -> Path:
    """Makes a folder with the study and an empty store."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump({**yaml.safe_load(STUDY), **changes}))
    copy_store(empty_store(), folder / "mlflow.db")
    # The same study is checked once by all tests together.
    (folder / "cache").mkdir(exist_ok=True)
    (folder / "cache" / "checks").symlink_to(_checks(), target_is_directory=True)
    return folder


@cache
def _checks() -> Path:
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    folder = Path(tempfile.gettempdir(), f"tuning-test-checks-{run}")
    folder.mkdir(exist_ok=True)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@dataclass
class Losses:
    """What must be zero when a study is done."""

    missing: int = 0
    repeated_trials: int = 0
    repeated_configurations: int = 0
    orphans: int = 0
    running: int = 0
    broken_curves: int = 0
    models_lost: int = 0
    registered_twice: int = 0
    no_report: int = 0

    @property
    def count(self) -> int:
        return sum(abs(getattr(self, field.name)) for field in fields(self))


def check_whole(process: Tune) -> None:
    """Waits for the end of a study, which must be good and whole."""
    assert process.end() == 0, process.output
    assert losses(process.uri) == Losses()


def losses(uri: str) -> Losses:
    """Counts what is wrong with the record of the one study in a store."""
    import mlflow

    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    parents = [run for run in runs if "tuning.study" in run.data.tags]
    trials = [run for run in runs if "tuning.trial" in run.data.tags]
    # A driver that was killed before its study had begun leaves an empty run.
    unbegun = [
        run for run in runs if run not in parents + trials and "tuning.workspace" in run.data.tags
    ]
    parent = parents[0]
    found = Losses(orphans=len(parents) - 1 + len(runs) - len(parents + trials + unbegun))
    names = Counter(run.data.tags["tuning.trial"] for run in trials)
    found.missing = EXPECTED - len(names)
    found.repeated_trials = sum(names.values()) - len(names)
    for searcher in SEARCHERS:
        configs = [
            run.data.tags["tuning.config"]
            for run in trials
            if run.data.tags["tuning.searcher"] == searcher
        ]
        found.repeated_configurations += len(configs) - len(set(configs))
    for run in trials:
        found.orphans += run.data.tags["mlflow.parentRunId"] != parent.info.run_id
        found.running += run.info.status not in ("FINISHED", "KILLED")
        _check_curve_and_model(client, run, found)
    found.running += parent.info.status != "FINISHED"
    found.registered_twice = len(client.search_model_versions("name='toy'")) - 1
    files = {file.path for file in client.list_artifacts(parent.info.run_id, "report")}
    verdict = parent.data.tags.get("tuning.verdict")
    found.no_report = int("report/report.html" not in files or verdict is None)
    return found


def _check_curve_and_model(client: Any, run: Any, found: Losses) -> None:
    tags = run.data.tags
    history = client.get_metric_history(run.info.run_id, "val_accuracy")
    steps = sorted(metric.step for metric in history)
    found.broken_curves += steps != list(range(1, len(steps) + 1)) or not steps
    if tags.get("tuning.state") != "completed":
        return
    found.broken_curves += len(steps) != EPOCHS
    if not tags.get("tuning.reused_from"):  # else its model is that of its source
        found.models_lost += not _has_model(client, tags["tuning.model"])


def _has_model(client: Any, model_id: str) -> bool:
    """Whether the file of a logged model is there and whole."""
    import zipfile

    import mlflow

    mlflow.set_tracking_uri(client.tracking_uri)
    with tempfile.TemporaryDirectory() as folder:
        try:
            local = mlflow.artifacts.download_artifacts(f"models:/{model_id}", dst_path=folder)
            # Keras's files are archives, and so are those of its stand-in.
            with zipfile.ZipFile(Path(local, "data", "model.keras")) as archive:
                return archive.testzip() is None and bool(archive.namelist())
        except Exception:
            return False
