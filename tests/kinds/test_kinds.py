"""Each kind of model and data goes through ``tune`` to its report, and its numbers are right."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import yaml

from tests.e2e.process import Tune
from tests.kinds import tasks
from tests.kinds.cases import CASES, Case
from tests.stores import copy_store, empty_store
from tuning.metrics.metric import metric_key
from tuning.report.figures.style import words
from tuning.tracking.reader import read_record

# Tasks whose models Keras cannot load without their code.
NEED_CODE = ("Subclassed", "WithLambda", "WithOwnLayer")
SPACE = {"units": {"type": "int", "low": 4, "high": 16, "step": 4}}


def study_of(case: Case) -> dict[str, Any]:
    return {
        "name": "kind",
        "task": f"tests.kinds.tasks:{case.task}",
        "space": SPACE,
        "baseline": {"units": 4},
        "objective": {"metric": case.objective},
        "compare": {"metric": case.metric, **case.compare},
        "searchers": ["random"],
        "budget": {"trials": 2, "epochs": 3},
        "confirm": {"seeds": 2, "top_k": 1},
        "registered_model": "kind",
        **case.study,
    }


def run_case(case: Case, folder: Path) -> str:
    (folder / "study.yaml").write_text(yaml.safe_dump(study_of(case)))
    copy_store(empty_store(), folder / "mlflow.db")
    tune = Tune(folder, "--workers", "1", "--backend", case.backend, keras=True)
    assert tune.end(280) == 0, tune.output
    return tune.output


def predict_by_hand(case: Case, model_file: Path, params: dict[str, Any]) -> tuple[Any, Any]:
    """Loads a logged model as a user would, and predicts the test rows as the task loads them."""
    task = getattr(tasks, case.task)()
    if case.task in ("Windows",):
        x, y, *_ = task.load("test", params)["test"]
    elif case.task == "KerasDataset" or case.task == "TensorFlowDataset":
        x, y = tasks.split(*tasks.digits(), "test")["test"]
    else:
        x, y, *_ = task.load("test")["test"]
    # Own layers and Lambda need the user's code, so the weights go into a model that it builds.
    model = task.build(params)
    model.predict(x, verbose=0)
    model.load_weights(model_file)
    raw = model.predict(x, verbose=0)
    return y, raw


@pytest.fixture(autouse=True)
def without_autologging() -> Iterator[None]:
    """One of the tasks switches it on, which would last for other tests of this process."""
    yield
    mlflow.autolog(disable=True)


def marks(case: Case) -> Any:
    kinds = [pytest.mark.slow, *([pytest.mark.full] if case.slow else [])]
    return pytest.param(case, id=f"{case.task}-{metric_key(case.metric)}", marks=kinds)


@pytest.mark.parametrize("case", [marks(case) for case in CASES])
def test_the_metric_in_mlflow_is_that_of_the_logged_model(case: Case, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    started = time.monotonic()
    output = run_case(case, tmp_path)
    seconds = time.monotonic() - started
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (parent,) = client.search_runs(["1"], "tags.`tuning.kind` = 'tune'")
    record = read_record(client, parent.info.run_id)
    deciding = record.study.compare.deciding
    tested = [trial for trial in record.trials if trial.model_id and trial.trial.phase != "search"]
    assert len(tested) >= 2
    pairs = []
    for trial in tested:
        (file,) = tmp_path.rglob(f"models/{trial.model_id}/artifacts/data/model.keras")
        expected = case.by_hand(*predict_by_hand(case, file, dict(trial.trial.params)))
        logged = client.get_run(trial.run_id).data.metrics[f"test_{deciding.key}"]
        assert logged == pytest.approx(expected, rel=2e-6, abs=2e-6)
        pairs.append((logged, expected))
    assert parent.data.tags["tuning.verdict"] in output
    report = client.download_artifacts(parent.info.run_id, "report", str(tmp_path))
    document = json.loads(Path(report, "comparison.json").read_text())
    assert document["metric"]["name"] == deciding.name
    assert np.isfinite(document["gain"]["estimate"])
    text = Path(report, "report.md").read_text()
    assert f"test {words(deciding.name)}" in text
    # Every run is the study's: autologging, which a task may switch on, has opened none.
    runs = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert all(any(key.startswith("tuning.") for key in run.data.tags) for run in runs)
    assert_is_registered(case, client, tmp_path)
    _write_row(case, pairs, parent.data.tags["tuning.verdict"], seconds)


def assert_is_registered(case: Case, client: Any, folder: Path) -> None:
    """The winner is a version with its signature, its card and its measures."""
    from mlflow.models import Model

    from tuning.registry.files import downloaded

    (version,) = client.search_model_versions("name='kind'")
    aliases = client.get_registered_model("kind").aliases
    assert str(aliases["challenger"]) == "1"
    assert "## How to use it" in version.description
    mlflow.set_tracking_uri(client.tracking_uri)
    with downloaded("models:/kind/1") as files:
        assert files is not None
        model = Model.load(str(files))
    assert model.signature is not None and "keras" in model.flavors
    assert ("tuning.latency_ms" in version.tags) is (case.task not in NEED_CODE)


def _write_row(case: Case, pairs: list[tuple[float, float]], verdict: str, seconds: float) -> None:
    """Appends a row to the table of docs/reference/kinds.md, if the environment names a file."""
    if file := os.environ.get("TUNING_KINDS"):
        logged, by_hand = pairs[0]
        difference = max(abs(one - other) for one, other in pairs)
        row = f"| {case.task} | `{metric_key(case.metric)}` | {logged:.6g} | {by_hand:.6g} | "
        with Path(file).open("a", encoding="utf-8") as table:
            table.write(f"{row}{difference:.1e} | {verdict} | {seconds:.0f} |\n")
