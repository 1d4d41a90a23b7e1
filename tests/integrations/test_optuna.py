"""The callback for studies of Optuna: a parent run, a child per trial, curves and tracebacks."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import optuna
import pytest

from tests.stand_in import ROOT
from tests.stores import copy_store, empty_store
from tuning.core.errors import BadInputError
from tuning.integrations import optuna as integration
from tuning.integrations import optuna_parent
from tuning.integrations.optuna import MlflowCallback
from tuning.tracking.keys import PARENT

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.slow
optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.setattr(optuna_parent, "SETTLE_SECONDS", 0.05)
    copy_store(empty_store(), tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -1, 1)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    for step in range(1, 4):
        trial.report(x * x / step, step)
    if trial.number == 2:
        raise ValueError("this one breaks")
    if trial.number == 3:
        raise optuna.TrialPruned
    trial.set_user_attr("note", kind)
    return x * x


def runs(client: "MlflowClient") -> "tuple[list[Any], dict[str, Any]]":
    """The parents, and the children by their names."""
    experiments = [each.experiment_id for each in client.search_experiments()]
    every = client.search_runs(experiments)
    parents = [run for run in every if PARENT not in run.data.tags]
    children = {run.info.run_name: run for run in every if PARENT in run.data.tags}
    assert len(parents) + len(children) == len(every), "a trial has two runs"
    return parents, children


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_study_is_a_parent_with_a_child_per_trial(uri: str, jobs: int) -> None:
    study = optuna.create_study(study_name="squares")
    callback = MlflowCallback(uri, "error", mlflow_kwargs={"tags": {"team": "a"}})
    study.optimize(objective, 8, callbacks=[callback], catch=(ValueError,), n_jobs=jobs)
    callback.close()
    client = mlflow.MlflowClient(uri)
    (parent,), children = runs(client)
    assert (parent.info.run_name, parent.info.status) == ("squares", "FINISHED")
    assert client.get_experiment(parent.info.experiment_id).name == "squares"
    assert parent.data.metrics["best_error"] == pytest.approx(study.best_value)
    assert parent.data.tags["best_trial"] == str(study.best_trial.number)
    assert sorted(children) == list("01234567")
    for trial in study.trials:
        run = children[str(trial.number)]
        assert run.data.tags[PARENT] == parent.info.run_id
        assert run.data.params == {k: str(v) for k, v in trial.params.items()}
        history = client.get_metric_history(run.info.run_id, "intermediate_error")
        assert {m.step: m.value for m in history} == pytest.approx(trial.intermediate_values)
        assert run.data.tags["state"] == trial.state.name and run.data.tags["team"] == "a"
        if trial.value is not None and trial.state.name == "COMPLETE":
            assert run.data.metrics["error"] == pytest.approx(trial.value)
            assert run.data.tags["note"] == trial.params["kind"]
    assert children["3"].info.status == "KILLED"


def test_a_failure_has_its_traceback(uri: str) -> None:
    study = optuna.create_study(study_name="squares")
    callback = MlflowCallback(uri)
    study.optimize(objective, 3, callbacks=[callback], catch=(ValueError,))
    client = mlflow.MlflowClient(uri)
    run = runs(client)[1]["2"]
    assert (run.info.status, run.data.tags["failure"]) == ("FAILED", "ValueError: this one breaks")
    text = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/failure.txt")
    assert 'raise ValueError("this one breaks")' in text


def test_a_failure_that_ends_the_study_is_recorded_at_the_end(uri: str) -> None:
    study = optuna.create_study(study_name="squares")
    callback = MlflowCallback(uri)
    with pytest.raises(ValueError), callback:
        study.optimize(objective, 9, callbacks=[callback])
    (parent,), children = runs(mlflow.MlflowClient(uri))
    assert sorted(children) == ["0", "1", "2"] and parent.info.status == "FINISHED"


def test_a_study_that_goes_on_keeps_its_parent(uri: str, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/optuna.db"
    for _ in range(2):
        study = optuna.create_study(study_name="s", storage=storage, load_if_exists=True)
        callback = MlflowCallback(uri)
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), 2, callbacks=[callback])
        callback.close()
    parents, children = runs(mlflow.MlflowClient(uri))
    assert (len(parents), sorted(children)) == (1, ["0", "1", "2", "3"])


def test_a_trial_that_a_killed_process_did_not_record_is_made_up_for(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = optuna.create_study(study_name="s", storage=f"sqlite:///{tmp_path}/optuna.db")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), 2)
    monkeypatch.setattr(integration, "LOST_SECONDS", -1)
    callback = MlflowCallback(uri)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), 1, callbacks=[callback])
    assert sorted(runs(mlflow.MlflowClient(uri))[1]) == ["0", "1", "2"]


@pytest.mark.full
def test_several_processes_share_one_parent(uri: str, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        "import optuna\n"
        "from tuning.integrations.optuna import MlflowCallback\n"
        "study = optuna.create_study(study_name='s', storage='sqlite:///optuna.db',"
        " load_if_exists=True)\n"
        f"callback = MlflowCallback({uri!r})\n"
        "study.optimize(lambda t: t.suggest_float('x', 0, 1), 3, callbacks=[callback])\n"
    )
    optuna.create_study(study_name="s", storage=f"sqlite:///{tmp_path}/optuna.db")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, env=environment)
        for _ in range(3)
    ]
    assert [process.wait(200) for process in processes] == [0, 0, 0]
    parents, children = runs(mlflow.MlflowClient(uri))
    assert (len(parents), len(children)) == (1, 9)


def test_the_run_of_the_caller_or_of_mlflow_run_is_the_parent(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow.set_tracking_uri(uri)
    study = optuna.create_study()
    with mlflow.start_run() as outer:
        callback = MlflowCallback()
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), 1, callbacks=[callback])
    client = mlflow.MlflowClient(uri)
    (parent,), children = runs(client)
    assert parent.info.run_id == outer.info.run_id and list(children) == ["0"]
    launched = client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    other = optuna.create_study()
    other.optimize(lambda t: t.suggest_float("x", 0, 1), 1, callbacks=[MlflowCallback(uri)])
    assert other.user_attrs[optuna_parent.PARENT_ATTRIBUTE] == launched


def test_the_run_of_the_caller_is_the_parent_of_threads_too(uri: str) -> None:
    mlflow.set_tracking_uri(uri)
    with mlflow.start_run() as outer:
        callback = MlflowCallback()
        study = optuna.create_study()
        study.optimize(lambda t: t.suggest_float("x", 0, 1), 3, callbacks=[callback], n_jobs=2)
    parents, children = runs(mlflow.MlflowClient(uri))
    assert [parent.info.run_id for parent in parents] == [outer.info.run_id]
    assert len(children) == 3


def test_what_the_objective_logs_belongs_to_the_trial(uri: str) -> None:
    callback = MlflowCallback(uri)

    @callback.track_in_mlflow()
    def tracked(trial: optuna.Trial) -> float:
        mlflow.log_metric("power", 2.5)
        x = trial.suggest_float("x", 0, 1)
        trial.suggest_categorical("on", [True])
        mlflow.log_params(trial.params)
        return x

    optuna.create_study().optimize(tracked, 2, callbacks=[callback], n_jobs=2)
    children = runs(mlflow.MlflowClient(uri))[1]
    assert [run.data.metrics["power"] for run in children.values()] == [2.5, 2.5]
    assert all("value" in run.data.metrics for run in children.values())


def test_several_objectives_have_several_metrics(uri: str) -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    callback = MlflowCallback(uri, ["loss", "size@1"])

    def both(trial: optuna.Trial) -> tuple[float, float]:
        x = trial.suggest_float("x", 0, 1)
        return x, 1 - x

    study.optimize(both, 1, callbacks=[callback])
    metrics = runs(mlflow.MlflowClient(uri))[1]["0"].data.metrics
    assert metrics["loss"] + metrics["size_1"] == pytest.approx(1)
    with pytest.raises(BadInputError, match="2 objectives; got 1 names"):
        study.optimize(both, 1, callbacks=[MlflowCallback(uri, ["loss"])])


def test_wrong_arguments_are_refused(uri: str) -> None:
    with pytest.raises(BadInputError, match="'run_id' is not known"):
        MlflowCallback(uri, mlflow_kwargs={"run_id": "x"})
    with pytest.raises(BadInputError, match="metric_name: a name or names; got a int"):
        MlflowCallback(uri, metric_name=3)  # type: ignore[arg-type]
