"""The main job through the real ``mlflow run``, checked through MLflow's client alone."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import FLAGSHIP, ROOT, CommandResult, mlflow_run, run_project

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

pytestmark = pytest.mark.slow

SPACE = {"embedding_dim", "units", "spatial_dropout", "dropout", "recurrent_dropout"}
NAME = "imdb-lstm-sentiment-synthetic"


@pytest.fixture(scope="module")
def store(finished_study: CommandResult) -> "MlflowClient":
    import mlflow

    mlflow.set_tracking_uri(finished_study.uri)
    return mlflow.MlflowClient(finished_study.uri)


@pytest.fixture(scope="module")
def parent(store: "MlflowClient") -> "Run":
    (found,) = [run for run in all_runs(store) if "tuning.study" in run.data.tags]
    return found


@pytest.fixture(scope="module")
def children(store: "MlflowClient", parent: "Run") -> dict[str, "Run"]:
    runs = [run for run in all_runs(store) if "tuning.trial" in run.data.tags]
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {parent.info.run_id}
    return {run.info.run_name: run for run in runs}


def all_runs(store: "MlflowClient") -> list["Run"]:
    experiments = [experiment.experiment_id for experiment in store.search_experiments()]
    return list(store.search_runs(experiments, max_results=1000))


def test_the_terminal_ends_with_two_tables_and_the_verdict(finished_study: CommandResult) -> None:
    output = finished_study.output
    assert "SYNTHETIC DATA" in output
    assert "test accuracy" in output
    assert "reason for change" in output
    verdict = next(line for line in output.splitlines() if line.startswith("Verdict: "))
    assert verdict.split()[1].strip(".;,") in ("better", "inconclusive", "worse")
    assert "/#/experiments/" in output


def test_the_trials_are_those_of_the_budget(children: dict[str, "Run"]) -> None:
    by_phase = Counter(run.data.tags["tuning.phase"] for run in children.values())
    assert by_phase == {"baseline": 2, "search": 6, "reference": 2, "confirm": 2}
    by_searcher = Counter(
        run.data.tags["tuning.searcher"]
        for run in children.values()
        if run.data.tags["tuning.phase"] == "search"
    )
    assert by_searcher == {"optuna": 3, "keras_tuner": 3}
    assert {"optuna-000", "keras_tuner-000", "baseline-seed1"} <= set(children)


def test_the_baseline_is_each_searcher_s_first_trial(children: dict[str, "Run"]) -> None:
    baseline = {name: children["baseline-seed1"].data.params[name] for name in SPACE}
    for name in ("optuna-000", "keras_tuner-000"):
        assert {key: children[name].data.params[key] for key in SPACE} == baseline


def test_every_run_is_terminal(store: "MlflowClient", parent: "Run") -> None:
    assert parent.info.status == "FINISHED"
    assert {run.info.status for run in all_runs(store)} <= {"FINISHED", "KILLED"}


def test_every_trial_has_params_curves_and_files(
    store: "MlflowClient", children: dict[str, "Run"]
) -> None:
    for name, run in children.items():
        assert set(run.data.params) == SPACE | {"seed", "epochs", "batch_size", "learning_rate"}
        for metric in ("loss", "accuracy", "val_loss", "val_accuracy", "epoch_seconds"):
            steps = [m.step for m in store.get_metric_history(run.info.run_id, metric)]
            assert steps == list(range(1, len(steps) + 1)), (name, metric)
            assert steps
        once = {"best_val_accuracy", "best_epoch", "train_seconds", "parameter_count"}
        assert once <= set(run.data.metrics)
        files = {file.path for file in store.list_artifacts(run.info.run_id)}
        assert {"curves.png", "history.csv"} <= files
        assert run.inputs is not None
        assert run.inputs.dataset_inputs[0].dataset.name == "synthetic"
        assert run.data.tags["tuning.dataset"] == "synthetic"


def test_every_completed_trial_has_a_model_that_loads(
    store: "MlflowClient", children: dict[str, "Run"]
) -> None:
    import mlflow
    import numpy as np

    completed = [r for r in children.values() if r.data.tags["tuning.state"] == "completed"]
    assert len(completed) >= 8
    trained = [run for run in completed if "tuning.reused_from" not in run.data.tags]
    assert len(completed) - len(trained) == 1, "the baseline, searched by two"
    for run in trained:
        model = store.get_logged_model(run.data.tags["tuning.model"])
        assert str(model.status) in ("READY", "LoggedModelStatus.READY")
        assert model.source_run_id == run.info.run_id
        assert run.outputs is not None
        assert run.outputs.model_outputs[0].model_id == model.model_id
        assert model.metrics is not None
        measured = {metric.key: metric.value for metric in model.metrics}
        assert measured["val_accuracy"] == pytest.approx(run.data.metrics["best_val_accuracy"])
    loaded = mlflow.pyfunc.load_model(f"models:/{trained[0].data.tags['tuning.model']}")
    schema = loaded.metadata.signature.inputs.inputs[0]
    answer = loaded.predict(np.zeros((3, schema.shape[1]), dtype="int32"))
    assert np.asarray(answer).shape == (3, 1)


def test_only_confirmed_trials_know_the_test_split(children: dict[str, "Run"]) -> None:
    for run in children.values():
        searched = run.data.tags["tuning.phase"] == "search"
        assert ("test_accuracy" in run.data.metrics) is not searched


def test_repeats_share_their_seeds(children: dict[str, "Run"]) -> None:
    seeds: dict[str, set[str]] = {}
    for run in children.values():
        if run.data.tags["tuning.phase"] != "search":
            seeds.setdefault(run.data.tags["tuning.candidate"], set()).add(run.data.params["seed"])
    assert len(seeds) == 3
    assert len({frozenset(found) for found in seeds.values()}) == 1


def test_the_parent_has_the_comparison(store: "MlflowClient", parent: "Run") -> None:
    metrics = parent.data.metrics
    gain = metrics["best_test_accuracy"] - metrics["baseline_test_accuracy"]
    assert metrics["test_gain"] == pytest.approx(gain, abs=2e-6)
    assert metrics["gain_ci_low"] < metrics["test_gain"] < metrics["gain_ci_high"]
    assert 0 <= metrics["p_value"] <= 1
    states = [metrics[f"trials_{state}"] for state in ("completed", "pruned", "failed", "reused")]
    assert sum(states) == 6
    assert metrics["trials_reused"] == 1
    for searcher in ("optuna", "keras_tuner"):
        history = store.get_metric_history(parent.info.run_id, f"best_so_far/{searcher}")
        values = [m.value for m in history]
        assert len(values) == 3
        assert values == sorted(values)
    assert parent.data.tags["tuning.verdict"] in ("better", "inconclusive", "worse")
    assert "test accuracy" in parent.data.tags["mlflow.note.content"]
    assert parent.inputs is not None
    assert parent.inputs.dataset_inputs


def test_the_report_is_whole_and_needs_no_network(
    store: "MlflowClient", parent: "Run", tmp_path: Path
) -> None:
    folder = Path(store.download_artifacts(parent.info.run_id, "report", str(tmp_path)))
    html = (folder / "report.html").read_text("utf-8")
    assert "SYNTHETIC DATA" in html
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert "https://" not in html
    assert "<script" not in html
    document = json.loads((folder / "comparison.json").read_text())
    assert document["verdict"] == parent.data.tags["tuning.verdict"]
    assert document["baseline"]["params"]["units"] == 32
    for heading in ("Behaviour tests", "Examples with different predictions", "What changed"):
        assert heading in html
    lines = (folder / "trials.csv").read_text().splitlines()
    assert len(lines) == 1 + 12
    assert (folder / "report.md").read_text().startswith("# imdb-lstm-sentiment")
    assert len(list((folder / "figures").glob("*.svg"))) >= 10


def test_the_winner_is_registered_under_a_name_of_its_own(
    store: "MlflowClient", parent: "Run"
) -> None:
    (model,) = store.search_registered_models()
    assert model.name == NAME
    full = store.get_registered_model(NAME)
    promoted = parent.data.tags["tuning.verdict"] == "better"
    assert full.aliases == ({"challenger": 1, "champion": 1} if promoted else {"challenger": 1})
    version = store.get_model_version(NAME, "1")
    assert version.run_id == parent.info.run_id
    assert version.tags["tuning.verdict"] == parent.data.tags["tuning.verdict"]
    assert version.tags["tuning.gate"].startswith("passed" if promoted else "refused")


def test_the_registered_model_answers_raw_text_without_the_project(
    finished_study: CommandResult, tmp_path: Path
) -> None:
    code = f"""
import mlflow, pandas, sys
mlflow.set_tracking_uri({finished_study.uri!r})
model = mlflow.pyfunc.load_model("models:/{NAME}@challenger")
reviews = ["The acting is wonderful.", "The plot is awful.<br />Really boring."]
answer = model.predict(pandas.DataFrame({{"review": reviews}}))
assert list(answer.columns) == ["label", "probability"], answer
assert answer["probability"].between(0, 1).all()
loaded = [name for name in sys.modules if name.split(".")[0] in ("tuning", "pipelines")]
assert not loaded, loaded
"""
    env = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=True)


@pytest.mark.full
def test_report_writes_the_same_again(
    finished_study: CommandResult, store: "MlflowClient", parent: "Run"
) -> None:
    before = comparison(store, parent)
    done = run_project(finished_study.folder, "report", f"run_id={parent.info.run_id}")
    assert "Verdict: " in done.output
    assert comparison(store, parent) == before


def comparison(store: "MlflowClient", parent: "Run") -> Any:
    path = store.download_artifacts(parent.info.run_id, "report/comparison.json")
    return json.loads(Path(path).read_text())


def test_predict_and_promote(finished_study: CommandResult, parent: "Run") -> None:
    done = run_project(finished_study.folder, "predict", "text=A wonderful film.")
    assert NAME in done.output
    command = [
        sys.executable,
        "-m",
        "tuning",
        "promote",
        "--study",
        str(FLAGSHIP),
        "--target",
        parent.info.run_id,
    ]
    promoted = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "MLFLOW_TRACKING_URI": finished_study.uri},
        capture_output=True,
        text=True,
        check=False,
    )
    if parent.data.tags["tuning.verdict"] == "better":
        assert promoted.returncode == 0
    else:
        assert promoted.returncode == 3
        assert "error: Not promoted: " in promoted.stderr


@pytest.mark.parametrize("entry", ["tune", pytest.param("predict", marks=pytest.mark.full)])
def test_a_parameter_is_never_run_by_the_shell(tmp_path: Path, entry: str) -> None:
    attacks = {
        "tune": {
            "study": "../$(touch pwned).yaml",
            "dataset": "x'; touch pwned; '",
            "searchers": "`touch pwned`",
            "resume": "| touch pwned",
            "seeds": "&& touch pwned",
            "set": "seed=$(touch pwned)",
            "promote": '"; touch pwned; "',
        },
        "predict": {"text": "$(touch pwned)", "file": "a; touch pwned", "model": "`touch pwned`"},
    }[entry]
    done = mlflow_run(tmp_path, entry, *(f"{name}={value}" for name, value in attacks.items()))
    assert done.returncode != 0
    assert "error: " in done.stderr
    assert not [path for folder in (tmp_path, ROOT) for path in folder.glob("*pwned*")]
