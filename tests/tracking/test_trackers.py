"""The tracker: every fact reaches the record once, in spite of repeats and outages."""

import errno
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from tests.factories import make_measurement, make_result, make_study, make_trial
from tuning.core.errors import BadInputError
from tuning.core.record import BehaviourCount, Predictions
from tuning.core.task import DataInfo
from tuning.core.trial import Failure, FailureKind, Phase, Trial, TrialResult, TrialState
from tuning.tracking import keys
from tuning.tracking.keras_flavour import ModelPlace
from tuning.tracking.predictions import read_predictions, write_predictions
from tuning.tracking.reader import Curves, read_record, write_head
from tuning.tracking.retry import RetryPolicy, TrackerError
from tuning.tracking.tracker import MlflowTracker
from tuning.workflow.resume import reopen

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDY = make_study()
DATA = DataInfo(label="toy", name="toy", source="here", digest="d" * 64, sizes={"train": 5})


@pytest.fixture
def parent(client: "MlflowClient") -> str:
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    run_id = client.create_run(experiment.experiment_id, run_name="tune").info.run_id
    write_head(client, run_id, STUDY, STUDY, DATA)
    return str(run_id)


def make_tracker(
    client: "MlflowClient", parent: str, away: Any = None, **options: Any
) -> MlflowTracker:
    """A tracker of the study, on another client than the test's own if one is given."""
    experiment_id = client.get_run(parent).info.experiment_id
    return MlflowTracker(away or client, experiment_id, parent, STUDY, DATA, **options)


@pytest.fixture
def tracker(client: "MlflowClient", parent: str) -> Iterator[MlflowTracker]:
    tracker = make_tracker(client, parent)
    yield tracker
    tracker.close()


def tell(tracker: MlflowTracker, name: str, state: TrialState, **changes: Any) -> None:
    trial = make_trial(name, **changes)
    result = make_result((0.5, 0.7, 0.6), state)
    tracker.trial_started(trial)
    for measurement in result.measurements:
        tracker.measured(trial, measurement)
    tracker.trial_finished(trial, result)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (TrialState.COMPLETED, "FINISHED"),
        (TrialState.PRUNED, "KILLED"),
        (TrialState.FAILED, "FAILED"),
        (TrialState.INTERRUPTED, "KILLED"),
    ],
)
def test_a_trial_becomes_a_terminal_child_run(
    client: "MlflowClient", parent: str, tracker: MlflowTracker, state: TrialState, status: str
) -> None:
    tell(tracker, "random-000", state)
    tracker.flush()
    run = client.get_run(tracker.run_id("random-000"))
    assert run.info.status == status
    assert run.info.run_name == "random-000"
    assert run.data.tags[keys.PARENT] == parent
    assert run.data.tags[keys.STATE] == state.value
    assert run.data.params == {
        "units": "2",
        "rate": "0.0",
        "batch_size": "16",
        "seed": "7",
        "epochs": "2",
    }
    history = client.get_metric_history(run.info.run_id, "val_accuracy")
    assert [(m.step, m.value) for m in history] == [(1, 0.5), (2, 0.7), (3, 0.6)]
    assert run.data.metrics["best_val_accuracy"] == 0.7
    assert run.data.metrics["best_epoch"] == 2
    assert run.data.metrics["parameter_count"] == 11
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"history.csv", "curves.png"} <= files
    assert ("failure.txt" in files) is (state is TrialState.FAILED)
    assert run.inputs is not None
    assert run.inputs.dataset_inputs[0].dataset.digest == "d" * 36


def test_the_record_reads_back_what_was_told(
    client: "MlflowClient", parent: str, tracker: MlflowTracker
) -> None:
    tell(tracker, "random-000", TrialState.COMPLETED)
    tell(
        tracker,
        "random-001",
        TrialState.FAILED,
        number=1,
        params={"units": 4, "rate": 0.3, "batch_size": 16},
    )
    tell(
        tracker,
        "baseline-seed1",
        TrialState.COMPLETED,
        phase=Phase.BASELINE,
        searcher="baseline",
        tags={keys.CANDIDATE: "baseline"},
    )
    tracker.flush()
    record = read_record(client, parent)
    assert record.study == STUDY
    assert record.data == DATA
    assert {trial.trial.name for trial in record.trials} == {
        "random-000",
        "random-001",
        "baseline-seed1",
    }
    by_name = {trial.trial.name: trial for trial in record.trials}
    first = by_name["random-000"]
    assert first.trial.params == {"units": 2, "rate": 0.0, "batch_size": 16}
    assert (first.result.value, first.result.best_step) == (0.7, 2)
    assert [m.metrics["val_loss"] for m in first.result.measurements] == [0.7, 0.7, 0.7]
    failed = by_name["random-001"]
    assert failed.trial.params == {"units": 4, "rate": 0.3, "batch_size": 16}
    assert failed.result.failure is not None
    assert failed.result.failure.message == "it broke"
    assert record.in_phase(Phase.BASELINE)[0].trial.tags[keys.CANDIDATE] == "baseline"
    assert record.predictions is None


def test_predictions_are_read_back_with_all_that_belongs_to_them(
    client: "MlflowClient", parent: str
) -> None:
    import numpy as np

    written = Predictions(
        truth=np.array([0, 1, 1]),
        outputs={"baseline-seed1": np.array([0.1, 0.9, 0.4])},
        lengths=np.array([5, 6, 7]),
        texts={1: "a <b>film</b>"},
        behaviours={"baseline-seed1": (BehaviourCount("negation", "lower", "good", 8, 3),)},
        yardsticks={"linear, words": np.array([0.2, 0.8, 0.7])},
    )
    write_predictions(client, parent, written)
    read = read_predictions(client, parent)
    assert read is not None
    assert read.texts == written.texts
    assert read.behaviours == written.behaviours
    for name in ("outputs", "yardsticks"):
        ours, theirs = getattr(read, name), getattr(written, name)
        assert ours.keys() == theirs.keys()
        for key in ours:
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-6)
    assert read.lengths is not None
    np.testing.assert_array_equal(read.lengths, [5, 6, 7])
    assert read_predictions(client, "0" * 32) is None


def test_curves_of_ended_trials_are_read_once(
    client: "MlflowClient", parent: str, tracker: MlflowTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(tracker, "random-000", TrialState.COMPLETED)
    tell(tracker, "random-001", TrialState.FAILED, number=1)
    tracker.flush()
    asked: list[str] = []
    read = client.get_metric_history

    def get_metric_history(run_id: str, key: str) -> object:
        asked.append(run_id)
        return read(run_id, key)

    monkeypatch.setattr(client, "get_metric_history", get_metric_history)
    curves: Curves = {}
    first = read_record(client, parent, curves)
    assert {*asked} == {trial.run_id for trial in first.trials}
    asked.clear()
    assert read_record(client, parent, curves) == first
    assert not asked
    tell(tracker, "random-001", TrialState.COMPLETED, number=1, attempt=1)
    tracker.flush()
    again = {trial.trial.name: trial for trial in read_record(client, parent, curves).trials}
    assert {*asked} == {again["random-001"].run_id}
    assert again["random-001"].result.state is TrialState.COMPLETED


@pytest.fixture
def completed(tmp_path: Path) -> TrialResult:
    """A result whose model is on another machine."""
    spec = {
        "inputs": [{"dtype": "int32", "shape": [-1, 4]}],
        "outputs": [{"dtype": "float32", "shape": [-1, 1]}],
        "keras_backend": "jax",
    }
    spec_file = tmp_path / "model_spec.json"
    spec_file.write_text(json.dumps(spec))
    artifacts = {"model": "/elsewhere/model.keras", "model_spec": str(spec_file)}
    return replace(make_result((0.5, 0.7, 0.6)), artifacts=artifacts)


def begin(tracker: MlflowTracker, result: TrialResult, **changes: Any) -> Trial:
    trial = make_trial("baseline-seed1", phase=Phase.BASELINE, searcher="baseline", **changes)
    tracker.trial_started(trial)
    for measurement in result.measurements:
        tracker.measured(trial, measurement)
    return trial


def models_of(client: "MlflowClient") -> list[Any]:
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    return list(client.search_logged_models([experiment.experiment_id]))


def model_files(client: "MlflowClient", model_id: str) -> dict[str, int | None]:
    folders = ("", "data")
    files = [f for folder in folders for f in client.list_logged_model_artifacts(model_id, folder)]
    return {file.path: file.file_size for file in files if not file.is_dir}


def test_a_model_that_goes_to_the_store_by_itself_is_logged_all_but_its_file(
    client: "MlflowClient", parent: str, tracker: MlflowTracker, completed: TrialResult
) -> None:
    trial = begin(tracker, completed)
    place = tracker.upload_target(trial, completed).result(60)
    assert isinstance(place, ModelPlace)
    assert place.tracking_uri == client.tracking_uri
    files = model_files(client, place.model_id)
    assert "MLmodel" in files
    assert "data/model.keras" not in files
    tracker.trial_finished(trial, replace(completed, artifacts={}))
    tracker.flush()
    (model,) = models_of(client)
    assert model.model_id == place.model_id
    linked = {metric.key: metric.value for metric in model.metrics}
    assert linked["val_accuracy"] == linked["best_val_accuracy"] == 0.7
    run_id = tracker.run_id(trial.name)
    assert client.get_run(run_id).data.tags[keys.MODEL] == model.model_id
    assert len(client.get_metric_history(run_id, "best_val_accuracy")) == 1


def test_a_file_that_came_to_the_driver_after_all_is_put_into_the_same_model(
    client: "MlflowClient",
    parent: str,
    tracker: MlflowTracker,
    completed: TrialResult,
    tmp_path: Path,
) -> None:
    trial = begin(tracker, completed)
    place = tracker.upload_target(trial, completed).result(60)
    assert isinstance(place, ModelPlace)
    file = tmp_path / "model.keras"
    file.write_bytes(b"x" * 123)
    tracker.trial_finished(
        trial, replace(completed, artifacts={**completed.artifacts, "model": str(file)})
    )
    tracker.flush()
    (model,) = models_of(client)
    assert model_files(client, model.model_id)["data/model.keras"] == 123


def test_a_study_that_goes_on_fills_the_model_that_was_waiting(
    client: "MlflowClient", parent: str, completed: TrialResult
) -> None:
    before = make_tracker(client, parent)
    trial = begin(before, completed)
    place = before.upload_target(trial, completed).result(60)
    before.close()
    after = make_tracker(client, parent)
    after.restore([])
    trial = begin(after, completed)
    assert after.upload_target(trial, completed).result(60) == place
    after.close()


def test_a_model_of_an_attempt_that_was_lost_is_removed_if_no_other_succeeds(
    client: "MlflowClient", parent: str, tracker: MlflowTracker, completed: TrialResult
) -> None:
    trial = begin(tracker, completed)
    assert tracker.upload_target(trial, completed).result(60) is not None
    trial = begin(tracker, completed, attempt=1)
    tracker.trial_finished(trial, make_result((0.5,), TrialState.FAILED))
    tracker.flush()
    assert not models_of(client)
    assert keys.MODEL not in client.get_run(tracker.run_id(trial.name)).data.tags


def test_a_study_goes_on_after_a_model_was_removed(
    client: "MlflowClient", parent: str, tracker: MlflowTracker, completed: TrialResult
) -> None:
    trial = begin(tracker, completed)
    assert tracker.upload_target(trial, completed).result(60) is not None
    tracker.trial_finished(trial, make_result((0.5,), TrialState.INTERRUPTED))
    tracker.flush()
    after = make_tracker(client, parent)
    after.restore([])
    trial = begin(after, completed)
    place = after.upload_target(trial, completed).result(60)
    assert isinstance(place, ModelPlace)
    after.trial_finished(trial, replace(completed, artifacts={}))
    after.close()
    (model,) = models_of(client)
    assert model.model_id == place.model_id


def test_a_run_has_no_model_whose_file_could_not_be_had(
    client: "MlflowClient", parent: str, tracker: MlflowTracker, completed: TrialResult
) -> None:
    trial = begin(tracker, completed)
    assert tracker.upload_target(trial, completed).result(60) is not None
    tracker.trial_finished(trial, completed)
    tracker.flush()
    assert not models_of(client)
    run = client.get_run(tracker.run_id(trial.name))
    assert keys.MODEL not in run.data.tags
    assert run.data.metrics["best_val_accuracy"] == 0.7


def test_a_model_that_cannot_be_prepared_is_for_the_driver(
    client: "MlflowClient", parent: str, tracker: MlflowTracker, completed: TrialResult
) -> None:
    Path(completed.artifacts["model_spec"]).write_text("{}")
    trial = begin(tracker, completed)
    assert isinstance(tracker.upload_target(trial, completed).exception(60), KeyError)


def test_a_model_that_is_not_kept_goes_nowhere(
    client: "MlflowClient", parent: str, completed: TrialResult
) -> None:
    study = make_study(keep_models="confirmed")
    experiment_id = client.get_run(parent).info.experiment_id
    tracker = MlflowTracker(client, experiment_id, parent, study, DATA)
    tracker.trial_started(searched := make_trial("random-000"))
    assert tracker.upload_target(searched, completed).result(60) is None
    assert not models_of(client)
    tracker.close()


@pytest.mark.parametrize(
    ("phase", "keep", "changes", "kept"),
    [
        (Phase.SEARCH, "all", {}, True),
        (Phase.SEARCH, "confirmed", {}, False),
        (Phase.CONFIRM, "confirmed", {}, True),
        (Phase.SEARCH, "all", {"state": TrialState.PRUNED}, False),
        (Phase.SEARCH, "all", {"state": TrialState.INTERRUPTED}, False),
        (Phase.SEARCH, "all", {"reused_from": "random-001"}, False),
    ],
    ids=["searched", "not kept", "confirmed", "pruned", "interrupted", "reused"],
)
def test_only_a_finished_training_that_the_study_keeps_leaves_a_model(
    client: "MlflowClient",
    parent: str,
    completed: TrialResult,
    tmp_path: Path,
    phase: Phase,
    keep: str,
    changes: dict[str, Any],
    kept: bool,
) -> None:
    file = tmp_path / "model.keras"
    file.write_bytes(b"x" * 123)
    artifacts = {**completed.artifacts, "model": str(file)}
    experiment_id = client.get_run(parent).info.experiment_id
    study = make_study(keep_models=keep)
    tracker = MlflowTracker(client, experiment_id, parent, study, DATA)
    trial = make_trial("random-000", phase=phase)
    tracker.trial_started(trial)
    tracker.trial_finished(trial, replace(completed, artifacts=artifacts, **changes))
    tracker.flush()
    tracker.close()
    tags = client.get_run(tracker.run_id(trial.name)).data.tags
    assert [model.model_id for model in models_of(client)] == ([tags[keys.MODEL]] if kept else [])
    assert (keys.MODEL in tags) is kept


def test_a_model_says_its_shapes_and_the_exact_packages_that_it_needs(
    client: "MlflowClient",
    parent: str,
    tracker: MlflowTracker,
    completed: TrialResult,
    tmp_path: Path,
) -> None:
    from importlib.metadata import version

    from mlflow.models import Model

    file = tmp_path / "model.keras"
    file.write_bytes(b"x" * 123)
    trial = begin(tracker, completed)
    artifacts = {**completed.artifacts, "model": str(file)}
    tracker.trial_finished(trial, replace(completed, artifacts=artifacts))
    tracker.flush()
    (model,) = models_of(client)
    assert model.source_run_id == tracker.run_id(trial.name)
    folder = Path(model.artifact_location.removeprefix("file://"))
    needed = (folder / "requirements.txt").read_text().split()
    assert {f"{name}=={version(name)}" for name in ("keras", "jax")} <= {*needed}
    assert all("==" in line for line in needed)
    signature = Model.load(str(folder)).signature
    assert [tensor.shape for tensor in signature.inputs.inputs] == [(-1, 4)]
    assert [tensor.shape for tensor in signature.outputs.inputs] == [(-1, 1)]


@pytest.mark.parametrize("tag", [keys.TRIAL, keys.MODEL, keys.RESUME_FROM, keys.REUSED_FROM])
@pytest.mark.parametrize("name", ["../../somebody", "/etc", ".hidden", "a b"])
def test_a_record_cannot_name_folders_of_others(
    client: "MlflowClient", parent: str, tracker: MlflowTracker, tag: str, name: str
) -> None:
    tracker.trial_started(make_trial("random-000"))
    tracker.flush()
    client.set_tag(tracker.run_id("random-000"), tag, name)
    with pytest.raises(BadInputError, match=f"tag {tag} must be a name of letters"):
        read_record(client, parent)


def test_a_run_says_who_trained_it_why_it_ended_and_whose_result_it_has(
    client: "MlflowClient", parent: str, tracker: MlflowTracker
) -> None:
    pruned = replace(make_result((0.5,), TrialState.PRUNED), stop_reason="below the median")
    reused = replace(make_result(), reused_from="random-000", inherited=1)
    for number, result in enumerate((pruned, reused)):
        trial = make_trial(f"random-{number:03d}", number=number)
        tracker.trial_started(trial)
        tracker.trial_finished(trial, replace(result, worker=f"local-{number}"))
    tracker.flush()
    first, second = (
        client.get_run(tracker.run_id(f"random-{number:03d}")).data for number in (0, 1)
    )
    assert (first.tags[keys.WORKER], second.tags[keys.WORKER]) == ("local-0", "local-1")
    assert first.tags[keys.STOP_REASON] == "below the median"
    assert second.tags[keys.REUSED_FROM] == "random-000"
    assert second.metrics[keys.INHERITED] == 1
    read = {trial.trial.name: trial.result for trial in read_record(client, parent).trials}
    for name, told in (("random-000", pruned), ("random-001", reused)):
        for fact in ("state", "stop_reason", "reused_from", "inherited"):
            assert getattr(read[name], fact) == getattr(told, fact)


@pytest.mark.parametrize("kind", FailureKind)
def test_what_ended_the_study_is_no_result_of_its_trial(
    client: "MlflowClient", parent: str, tmp_path: Path, kind: FailureKind
) -> None:
    workspace = tmp_path / "workspace"
    (workspace / "random-000").mkdir(parents=True)
    tracker = make_tracker(client, parent, workspace=workspace)
    trial, result = make_trial("random-000"), make_result((), TrialState.FAILED)
    tracker.trial_started(trial)
    failure = Failure(kind=kind, message="No space left")
    tracker.trial_finished(trial, replace(result, failure=failure))
    tracker.flush()
    tracker.close()
    (record,) = read_record(client, parent).trials
    again = kind in (FailureKind.FATAL, FailureKind.BAD_INPUT)
    assert record.result.state is (TrialState.INTERRUPTED if again else TrialState.FAILED)
    assert (workspace / "random-000").exists() is again, "it goes on from its checkpoint"


def test_curves_are_found_by_their_run(
    client: "MlflowClient", parent: str, tracker: MlflowTracker, tmp_path: Path
) -> None:
    for number in range(12):
        tell(tracker, f"random-{number:03d}", TrialState.COMPLETED, number=number)
    tracker.flush()
    read_record(client, parent)
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        query = "SELECT * FROM metrics WHERE run_uuid = 'x' AND key = 'y' ORDER BY timestamp"
        plan = connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
    assert "run_uuid=?" in str(plan), plan


def test_where_a_trial_goes_on_from_is_remembered(
    client: "MlflowClient", parent: str, tracker: MlflowTracker
) -> None:
    tracker.trial_started(make_trial("kt-000", keep_checkpoint=True))
    tracker.trial_started(make_trial("kt-001", number=1, resume_from="kt-000"))
    tracker.flush()
    trials = (record.trial for record in read_record(client, parent).trials)
    first, second = sorted(trials, key=lambda trial: trial.number)
    assert (first.resume_from, first.keep_checkpoint) == (None, True)
    assert (second.resume_from, second.keep_checkpoint) == ("kt-000", False)


def test_a_failure_is_forgotten_once_another_attempt_succeeds(
    client: "MlflowClient", parent: str, tracker: MlflowTracker
) -> None:
    tell(tracker, "baseline-seed1", TrialState.FAILED)
    tell(tracker, "baseline-seed1", TrialState.COMPLETED, attempt=1)
    tracker.flush()
    run = client.get_run(tracker.run_id("baseline-seed1"))
    assert run.info.status == "FINISHED"
    assert not run.data.tags[keys.FAILURE]
    (record,) = read_record(client, parent).trials
    assert record.result.failure is None


def test_the_head_is_written_again_only_if_it_changes(
    client: "MlflowClient", parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        type(client), "log_text", lambda self, run_id, text, path: told.append(path)
    )
    write_head(client, parent, STUDY, STUDY, DATA)
    assert told == []
    write_head(client, parent, STUDY.change(["budget.trials=9"]), STUDY, DATA)
    assert told == [keys.STUDY_FILE]


def test_repeats_are_written_once(client: "MlflowClient", tracker: MlflowTracker) -> None:
    trial = make_trial()
    for attempt in range(2):
        tracker.trial_started(make_trial(attempt=attempt))
        for step in (1, 2):
            tracker.measured(trial, make_measurement(step, 0.5))
    tracker.trial_finished(trial, make_result((0.5, 0.5)))
    tracker.flush()
    run_id = tracker.run_id(trial.name)
    assert len(client.get_metric_history(run_id, "val_accuracy")) == 2
    assert client.get_run(run_id).data.tags[keys.ATTEMPT] == "1"


def test_an_epoch_that_a_later_attempt_repeats_is_written_once(
    client: "MlflowClient", tracker: MlflowTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MLflow itself drops what is the same to the millisecond.
    seconds = iter(range(100))
    monkeypatch.setattr(tracker, "_now_ms", lambda: 1000 * next(seconds))
    trial = make_trial()
    for attempt in range(2):
        tracker.trial_started(make_trial(attempt=attempt))
        for step in range(1, 3 + attempt):
            tracker.measured(trial, make_measurement(step, 0.5))
    tracker.trial_finished(trial, make_result((0.5, 0.5, 0.5)))
    tracker.flush()
    run_id = tracker.run_id(trial.name)
    for metric in ("val_accuracy", "epoch_seconds"):
        history = client.get_metric_history(run_id, metric)
        assert [point.step for point in history] == [1, 2, 3]


def test_an_epoch_that_a_study_which_goes_on_repeats_is_written_once(
    client: "MlflowClient", parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that was killed after the epoch was logged, and before its checkpoint."""
    seconds = iter(range(100))
    trial = make_trial()
    for epochs in (2, 3):
        tracker = make_tracker(client, parent)
        monkeypatch.setattr(tracker, "_now_ms", lambda: 1000 * next(seconds))
        tracker.restore([])
        tracker.trial_started(trial)
        for step in range(1, epochs + 1):
            tracker.measured(trial, make_measurement(step, 0.5))
        tracker.flush()
        run_id = tracker.run_id(trial.name)
        tracker.close()
    history = client.get_metric_history(run_id, "val_accuracy")
    assert [point.step for point in history] == [1, 2, 3]


def test_best_so_far_is_on_the_parent(
    client: "MlflowClient", parent: str, tracker: MlflowTracker
) -> None:
    for number, values in enumerate(((0.5,), (0.8,), (0.6,))):
        trial = make_trial(f"random-{number:03d}", number=number)
        tracker.trial_started(trial)
        tracker.trial_finished(trial, make_result(values))
    tracker.flush()
    history = client.get_metric_history(parent, "best_so_far/random")
    assert [(m.step, m.value) for m in history] == [(1, 0.5), (2, 0.8), (3, 0.8)]


class FlakyClient:
    """Answers every call with an outage until it has been asked often enough."""

    def __init__(
        self, client: "MlflowClient", outages: int, error: Exception | None = None
    ) -> None:
        self._client = client
        self.outages = outages
        self._error = error or ConnectionError("the server is away")

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not callable(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.outages > 0:
                self.outages -= 1
                raise self._error
            return method(*args, **kwargs)

        return call


def flaky(client: "MlflowClient", parent: str, outages: int, **options: Any) -> MlflowTracker:
    return make_tracker(client, parent, FlakyClient(client, outages), **options)


def test_an_outage_is_waited_out_in_order(client: "MlflowClient", parent: str) -> None:
    waits: list[float] = []
    tracker = flaky(client, parent, 4, retry_policy=RetryPolicy(sleep=waits.append))
    tell(tracker, "random-000", TrialState.COMPLETED)
    tracker.flush()
    assert waits == [1, 2, 5, 10]
    (record,) = read_record(client, parent).trials
    assert len(record.result.measurements) == 3
    tracker.close()


def test_an_outage_that_lasts_is_raised_by_flush_only(client: "MlflowClient", parent: str) -> None:
    tracker = flaky(client, parent, 10**6, retry_policy=RetryPolicy(30, lambda seconds: None))
    tell(tracker, "random-000", TrialState.COMPLETED)
    with pytest.raises(TrackerError, match="the server is away"):
        tracker.flush()
    tracker.close()


def test_a_run_that_is_no_study_is_refused(client: "MlflowClient") -> None:
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    other = client.create_run(experiment.experiment_id).info.run_id
    with pytest.raises(BadInputError, match="not the parent run of a study"):
        read_record(client, other)
    with pytest.raises(BadInputError, match="there is no run 'nothing'"):
        read_record(client, "nothing")


def test_files_are_below_the_test_folder(client: "MlflowClient", tmp_path: Path) -> None:
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    assert str(tmp_path) in experiment.artifact_location


def test_a_database_that_somebody_holds_locked_is_waited_for(
    client: "MlflowClient", parent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.sql import text

    # MLflow waits for 20 s before it says that a database is locked.
    monkeypatch.setattr(
        "mlflow.store.db.utils.sql.text", lambda sql: text(sql.replace("20000", "200"))
    )
    waits: list[float] = []
    holder = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            holder.execute("ROLLBACK")

    tracker = make_tracker(client, parent, retry_policy=RetryPolicy(sleep=sleep))
    tell(tracker, "random-000", TrialState.COMPLETED)
    tracker.flush()
    tracker.close()
    holder.close()
    assert len(waits) >= 2, "it was locked"
    (record,) = read_record(client, parent).trials
    assert [m.step for m in record.result.measurements] == [1, 2, 3]


def test_a_clock_that_jumps_does_not_turn_a_curve_around(
    client: "MlflowClient", tracker: MlflowTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_trial("random-000")
    jumps = iter([0.0, -7200.0, 7200.0, -86400.0])
    tracker.trial_started(trial)
    result = make_result((0.5, 0.7, 0.6))
    for measurement in result.measurements:
        wrong = time.time() + next(jumps)
        monkeypatch.setattr(time, "time", lambda wrong=wrong: wrong)
        tracker.measured(trial, measurement)
    tracker.trial_finished(trial, result)
    tracker.flush()
    run_id = tracker.run_id("random-000")
    history = client.get_metric_history(run_id, "val_accuracy")
    times = [metric.timestamp for metric in sorted(history, key=lambda metric: metric.step)]
    assert times == sorted(times)
    assert times[-1] - times[0] < 60_000
    info = client.get_run(run_id).info
    assert info.start_time <= times[0] <= times[-1] <= info.end_time


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        OSError(errno.EROFS, "Read-only file system"),
        MlflowException("attempt to write a readonly database", TEMPORARILY_UNAVAILABLE),
    ],
)
def test_a_store_that_refuses_is_not_waited_for(
    client: "MlflowClient", parent: str, error: Exception
) -> None:
    waits: list[float] = []
    stopped: list[bool] = []
    tracker = make_tracker(
        client,
        parent,
        FlakyClient(client, 10**6, error),
        on_failure=lambda: stopped.append(True),
        retry_policy=RetryPolicy(sleep=waits.append),
    )
    tell(tracker, "random-000", TrialState.COMPLETED)
    with pytest.raises(TrackerError, match="cannot be written"):
        tracker.flush()
    tracker.close()
    assert not waits
    assert stopped == [True]


def test_files_of_ended_trials_go_and_those_of_interrupted_ones_stay(
    client: "MlflowClient", parent: str, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    tracker = make_tracker(client, parent, workspace=workspace)
    for state in TrialState:
        (workspace / state.value).mkdir(parents=True)
        (workspace / state.value / "checkpoint.npz").write_bytes(b"x")
        tell(tracker, state.value, state)
    tell(tracker, "parent-of-another", TrialState.COMPLETED, keep_checkpoint=True)
    (workspace / "parent-of-another").mkdir()
    tracker.flush()
    tracker.close()
    left = {folder.name for folder in workspace.iterdir()}
    assert left == {"interrupted", "parent-of-another"}


def test_a_confirmed_model_stays_in_the_workspace_to_be_judged(
    client: "MlflowClient", parent: str, tmp_path: Path, completed: TrialResult
) -> None:
    workspace = tmp_path / "workspace"
    tracker = make_tracker(client, parent, workspace=workspace)
    for name, phase in (("confirm-seed1", Phase.CONFIRM), ("random-000", Phase.SEARCH)):
        folder = workspace / name
        folder.mkdir(parents=True)
        for file in ("model.keras", "checkpoint.npz"):
            (folder / file).write_bytes(b"x")
        (folder / "model_spec.json").write_bytes(
            Path(completed.artifacts["model_spec"]).read_bytes()
        )
        artifacts = {
            kind: str(folder / Path(file).name) for kind, file in completed.artifacts.items()
        }
        trial = make_trial(name, phase=phase)
        tracker.trial_started(trial)
        tracker.trial_finished(trial, replace(completed, artifacts=artifacts))
    tracker.flush()
    tracker.close()
    left = {str(file.relative_to(workspace)) for file in workspace.rglob("*")}
    assert left == {"confirm-seed1", "confirm-seed1/model.keras"}


def test_a_conditional_batch_size_is_no_parameter_where_it_does_not_exist(
    client: "MlflowClient", parent: str
) -> None:
    space = {
        "large": {"type": "choice", "values": [False, True]},
        "batch_size": {"type": "choice", "values": [32, 64], "when": {"large": [True]}},
    }
    study = make_study(space=space, baseline={"large": False}, references={}, fixed={})
    write_head(client, parent, study, study, DATA)
    experiment_id = client.get_run(parent).info.experiment_id
    tracker = MlflowTracker(client, experiment_id, parent, study, DATA)
    tell(tracker, "small", TrialState.COMPLETED, params={"large": False})
    tell(tracker, "large", TrialState.COMPLETED, params={"large": True, "batch_size": 64})
    tracker.flush()
    tracker.close()
    params = {r.trial.name: r.trial.params for r in read_record(client, parent).trials}
    assert params == {"small": {"large": False}, "large": {"large": True, "batch_size": 64}}


def test_a_run_that_was_opened_again_has_not_ended(
    client: "MlflowClient", parent: str, tracker: MlflowTracker
) -> None:
    tell(tracker, "random-000", TrialState.INTERRUPTED)
    tracker.flush()
    run_id = tracker.run_id("random-000")
    assert read_record(client, parent).trials[0].ended_ms > 0
    # A later driver trains it, and is killed between its writing the result and ending the run.
    client.update_run(run_id, status="RUNNING")
    client.set_tag(run_id, "tuning.state", "completed")
    record = read_record(client, parent)
    assert record.trials[0].ended_ms == 0
    reopen(client, record)
    assert client.get_run(run_id).info.status == "FINISHED"
