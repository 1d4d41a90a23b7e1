"""Reads a study back from MLflow: all that a report, a gate or a resumed study needs."""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tuning.core.errors import BadInputError
from tuning.core.record import BehaviourCount, Predictions
from tuning.core.task import DataInfo
from tuning.core.trial import (
    Failure,
    FailureKind,
    Measurement,
    ParamValue,
    Phase,
    Trial,
    TrialRecord,
    TrialResult,
    TrialState,
)
from tuning.study.file import Study, parse_study
from tuning.study.record import StudyRecord
from tuning.study.space import Choice
from tuning.tracking import keys
from tuning.tracking.store import help_planner

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DATA_FILE = "data.json"
PAGE = 1_000

# Curves of ended runs, by run and by when it ended: one that is trained again ends later.
Curves = dict[tuple[str, int], tuple[Measurement, ...]]


def write_head(
    client: "MlflowClient", run_id: str, study: Study, written: Study, data: DataInfo
) -> None:
    """Stores what a record starts with.

    Args:
        client: Of the store.
        run_id: The parent run.
        study: The study as it is run.
        written: The study file, with the profile of the data.
        data: The data.
    """
    texts = {
        keys.STUDY_FILE: study.to_yaml(),
        keys.WRITTEN_FILE: written.to_yaml(),
        DATA_FILE: json.dumps(asdict(data), indent=2),
    }
    with tempfile.TemporaryDirectory() as folder:
        for path, text in texts.items():
            known = _fetch(client, run_id, path, folder)
            # A kill while it is replaced would leave a torn one.
            if known is None or known.read_text("utf-8") != text:
                client.log_text(run_id, text, path)


def write_predictions(client: "MlflowClient", run_id: str, predictions: Predictions) -> None:
    """Stores what the models said of the test split."""
    import numpy as np

    path = Path(keys.PREDICTIONS_FILE)
    labels = predictions.labels.astype("u1")
    arrays = {f"p_{name}": value.astype("f4") for name, value in predictions.probabilities.items()}
    arrays |= {f"y_{name}": value.astype("f4") for name, value in predictions.yardsticks.items()}
    if predictions.lengths is not None:
        arrays["lengths"] = predictions.lengths
    details = {
        "seen": predictions.seen,
        "texts": {str(index): text for index, text in predictions.texts.items()},
        "behaviours": {
            name: [asdict(count) for count in counts]
            for name, counts in predictions.behaviours.items()
        },
    }
    arrays["details"] = np.frombuffer(json.dumps(details).encode(), "u1")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, path.name)
        np.savez_compressed(file, allow_pickle=False, labels=labels, **arrays)
        client.log_artifact(run_id, str(file), str(path.parent))


def read_record(client: "MlflowClient", run_id: str, curves: Curves | None = None) -> StudyRecord:
    """Reads a study.

    Args:
        client: Of the store.
        run_id: The parent run.
        curves: What earlier readings found; these are not fetched again, and new ones are added.

    Raises:
        BadInputError: There is no such run, or it is not a study's parent.
    """
    parent = get_run(client, run_id)
    help_planner(client.tracking_uri)
    with tempfile.TemporaryDirectory() as folder:
        study_file = _fetch(client, run_id, keys.STUDY_FILE, folder)
        data_file = _fetch(client, run_id, DATA_FILE, folder)
        if study_file is None or data_file is None:
            raise BadInputError(
                f"run {run_id} is not the parent run of a study: it has no {keys.STUDY_FILE}"
            )
        study = _load_study(study_file)
        written_file = _fetch(client, run_id, keys.WRITTEN_FILE, folder)
        written = _load_study(written_file) if written_file else study
        data = DataInfo(**json.loads(data_file.read_text("utf-8")))
        predictions_file = _fetch(client, run_id, keys.PREDICTIONS_FILE, folder)
        predictions = _read_predictions(predictions_file) if predictions_file else None
    runs = _children(client, parent)
    known: Curves = {} if curves is None else curves
    return StudyRecord(
        run_id=run_id,
        experiment_id=parent.info.experiment_id,
        study=study,
        written=written,
        data=data,
        tags=parent.data.tags,
        metrics=parent.data.metrics,
        trials=tuple(_trial_record(client, run, study, known) for run in runs),
        predictions=predictions,
        started_ms=parent.info.start_time,
    )


def _load_study(file: Path) -> Study:
    """Reads a recorded study, also one of version 0.1.

    There ``batch_size`` and ``patience`` had their meaning by their names alone.
    """
    data = yaml.safe_load(file.read_text("utf-8"))
    if isinstance(data, dict) and "training" not in data:
        names = {**data.get("space", {}), **data.get("fixed", {})}
        data["training"] = {key: key for key in ("batch_size", "patience") if key in names}
    return parse_study(data, str(file))


def get_run(client: "MlflowClient", run_id: str) -> "Run":
    """A run.

    Raises:
        BadInputError: There is none of that id.
    """
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise  # an outage must not be taken for the absence of the run
        raise BadInputError(
            f"run_id: there is no run {run_id!r} in {client.tracking_uri} ({error.message})"
        ) from error


def _fetch(client: "MlflowClient", run_id: str, path: str, folder: str) -> Path | None:
    # Asked first, so that an outage is an error and not the absence of the file.
    inside = str(Path(path).parent) if "/" in path else None
    if path not in {file.path for file in client.list_artifacts(run_id, inside)}:
        return None
    return Path(client.download_artifacts(run_id, path, folder))


def read_predictions(client: "MlflowClient", run_id: str) -> Predictions | None:
    """What the models of a study said of the test split; None if that cannot be had."""
    from mlflow.exceptions import MlflowException

    try:
        with tempfile.TemporaryDirectory() as folder:
            file = _fetch(client, run_id, keys.PREDICTIONS_FILE, folder)
            return _read_predictions(file) if file is not None else None
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def _read_predictions(file: Path) -> Predictions:
    import numpy as np

    with np.load(file, allow_pickle=False) as arrays:
        details = json.loads(arrays["details"].tobytes()) if "details" in arrays else {}
        return Predictions(
            labels=arrays["labels"],
            probabilities={
                name.removeprefix("p_"): arrays[name]
                for name in arrays.files
                if name.startswith("p_")
            },
            lengths=arrays.get("lengths"),
            seen=details.get("seen", 0),
            texts={int(index): text for index, text in details.get("texts", {}).items()},
            behaviours={
                name: tuple(BehaviourCount(**count) for count in counts)
                for name, counts in details.get("behaviours", {}).items()
            },
            yardsticks={
                name.removeprefix("y_"): arrays[name]
                for name in arrays.files
                if name.startswith("y_")
            },
        )


def _children(client: "MlflowClient", parent: "Run") -> list["Run"]:
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            [parent.info.experiment_id],
            f"tags.`{keys.PARENT}` = '{parent.info.run_id}'",
            max_results=PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        # A run whose params were not written yet is of a trial that had hardly begun.
        runs += [run for run in page if "epochs" in run.data.params]
        token = page.token
        if not token:
            return runs


def _trial_record(client: "MlflowClient", run: "Run", study: Study, curves: Curves) -> TrialRecord:
    tags, params = run.data.tags, run.data.params
    identity = run.info.run_id, run.info.end_time or 0
    measurements = curves.get(identity)
    if measurements is None:
        measurements = _measurements(client, run)
        if run.info.end_time:
            curves[identity] = measurements
    for key in (keys.TRIAL, keys.MODEL, keys.RESUME_FROM, keys.REUSED_FROM):
        # They become names of folders.
        if not re.fullmatch(r"\w[\w.-]*", tags.get(key, "none")):
            raise BadInputError(f"run {run.info.run_id}: its tag {key} is no name: {tags[key]!r}")
    trial = Trial(
        name=tags[keys.TRIAL],
        number=int(tags[keys.NUMBER]),
        params=_params(params, study),
        phase=Phase(tags[keys.PHASE]),
        searcher=tags[keys.SEARCHER],
        seed=int(tags[keys.SEED]),
        epochs=int(params["epochs"]),
        attempt=int(tags.get(keys.ATTEMPT, 0)),
        resume_from=tags.get(keys.RESUME_FROM),
        keep_checkpoint=keys.KEEP_CHECKPOINT in tags,
        tags={key: value for key, value in tags.items() if key.startswith("tuning.")},
    )
    return TrialRecord(
        trial=trial,
        result=_result(run, study, measurements),
        run_id=run.info.run_id,
        model_id=tags.get(keys.MODEL, ""),
        started_ms=run.info.start_time,
        ended_ms=run.info.end_time or 0,
    )


def _params(logged: Mapping[str, str], study: Study) -> dict[str, ParamValue]:
    """Gives MLflow's strings their types back."""
    searched = {name: logged[name] for name in study.space.names if name in logged}
    params: dict[str, ParamValue] = {}
    for name, text in searched.items():
        declared = study.space[name]
        if isinstance(declared, Choice):
            params[name] = next(value for value in declared.values if str(value) == text)
        else:
            params[name] = declared.canonical(float(text))
    return params | {name: value for name, value in study.fixed.items() if name in logged}


def _result(run: "Run", study: Study, measurements: tuple[Measurement, ...]) -> TrialResult:
    tags, metrics = run.data.tags, run.data.metrics
    state = TrialState(tags.get(keys.STATE, TrialState.INTERRUPTED.value))
    failure = None
    if state is TrialState.FAILED:
        kind, _, message = tags.get(keys.FAILURE, "error: unknown").partition(": ")
        failure = Failure(kind=FailureKind(kind), message=message)
        if failure.kind.ends_study:
            # It says nothing about this trial, which is trained again on a resume.
            state, failure = TrialState.INTERRUPTED, None
    best = metrics.get(f"best_{study.objective.metric}")
    return TrialResult(
        state=state,
        value=best,
        best_step=int(metrics["best_epoch"]) if best is not None else None,
        measurements=measurements,
        duration_s=metrics.get("train_seconds", 0.0),
        failure=failure,
        facts={k: v for k, v in metrics.items() if k in ("parameter_count", "test_accuracy")},
        worker=tags.get(keys.WORKER, ""),
        stop_reason=tags.get(keys.STOP_REASON, ""),
        reused_from=tags.get(keys.REUSED_FROM, ""),
        inherited=int(metrics.get(keys.INHERITED, 0)),
    )


def _measurements(client: "MlflowClient", run: "Run") -> tuple[Measurement, ...]:
    run_id = run.info.run_id
    steps: dict[int, dict[str, float]] = {}
    curves = [key for key in run.data.metrics if f"val_{key}" in run.data.metrics]
    for key in [*curves, *(f"val_{key}" for key in curves), "epoch_seconds"]:
        if key in run.data.metrics:
            for metric in client.get_metric_history(run_id, key):
                steps.setdefault(metric.step, {})[key] = metric.value
    elapsed, result = 0.0, []
    for step, metrics in sorted(steps.items()):
        elapsed += metrics.get("epoch_seconds", 0.0)
        result.append(Measurement(step=step, metrics=metrics, elapsed_s=elapsed))
    return tuple(result)
