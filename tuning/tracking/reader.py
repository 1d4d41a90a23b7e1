"""Reads the record of a study from MLflow, for a report, a gate or a resumed study."""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.core.errors import BadInputError
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
from tuning.study.ranges import Choice
from tuning.study.record import StudyRecord
from tuning.study.yaml_text import read_yaml
from tuning.tracking import keys
from tuning.tracking.looks import read_looks
from tuning.tracking.moved_store import path_of
from tuning.tracking.predictions import fetch, read_predictions
from tuning.tracking.store import all_pages, help_planner

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Metrics of a trial that are logged once, besides those that begin with best_ and test_.
_ONCE = (keys.TRAIN_SECONDS, keys.PARAMETERS, keys.INHERITED)

# Curves of ended runs, by run id and end time: a run that is trained again has a new end time.
Curves = dict[tuple[str, int], tuple[Measurement, ...]]


def write_head(
    client: "MlflowClient", run_id: str, study: Study, written: Study, data: DataInfo
) -> None:
    """Stores the files at the beginning of a record: the study and its data.

    Args:
        client: Client of the MLflow store.
        run_id: Id of the parent run.
        study: Study as it is run, with the changes of the command line.
        written: Study as it is in the study file, with the profile of the data.
        data: Description of the data.
    """
    texts = {
        keys.STUDY_FILE: study.to_yaml(),
        keys.WRITTEN_FILE: written.to_yaml(),
        keys.DATA_FILE: json.dumps(asdict(data), indent=2),
    }
    with tempfile.TemporaryDirectory() as folder:
        for path, text in texts.items():
            stored = fetch(client, run_id, path, folder)
            # If the process is killed while it replaces a file, the file is incomplete.
            if stored is None or stored.read_text("utf-8") != text:
                client.log_text(run_id, text, path)


def read_record(
    client: "MlflowClient", run_id: str, curves: Curves | None = None, *, with_curves: bool = True
) -> StudyRecord:
    """Reads the record of a study.

    Args:
        client: Client of the MLflow store.
        run_id: Id of the parent run.
        curves: Cache of the curves of ended runs. Its curves are not fetched again, and the curves
            of other ended runs are added to it.
        with_curves: Whether the curves are read, with a request per trial and metric.

    Raises:
        BadInputError: There is no such run, or it is not the parent run of a study.
    """
    parent = get_run(client, run_id)
    help_planner(client.tracking_uri)
    address = str(parent.info.artifact_uri)
    with tempfile.TemporaryDirectory() as folder:
        study_file = fetch(client, run_id, keys.STUDY_FILE, folder, address)
        data_file = fetch(client, run_id, keys.DATA_FILE, folder, address)
        if study_file is None or data_file is None:
            _check_files(parent)
            raise BadInputError(
                f"run {run_id} is not the parent run of a study: it has no {keys.STUDY_FILE}; "
                "pass the id of a parent run"
            )
        study = _load_study(study_file)
        written_file = fetch(client, run_id, keys.WRITTEN_FILE, folder, address)
        written = _load_study(written_file) if written_file else study
        facts = json.loads(data_file.read_text("utf-8"))
        # Before 0.2, a warning made the data a stand-in.
        stand_in = facts.get("stand_in", bool(facts.get("warning")))
        classes = tuple(facts.get("classes", ()))
        data = DataInfo(**{**facts, "classes": classes, "stand_in": stand_in})
    cache: Curves | None = ({} if curves is None else curves) if with_curves else None
    return StudyRecord(
        run_id=run_id,
        experiment_id=parent.info.experiment_id,
        study=study,
        written=written,
        data=data,
        tags=parent.data.tags,
        metrics=parent.data.metrics,
        trials=tuple(
            _trial_record(client, run, study, cache) for run in _children(client, parent)
        ),
        predictions=read_predictions(client, run_id, address),
        started_ms=parent.info.start_time,
        looks=tuple(read_looks(client, run_id, address)),
    )


def _check_files(run: "Run") -> None:
    folder = path_of(str(run.info.artifact_uri))
    # MLflow makes mlruns/<experiment>/<run>/artifacts when the first file of a run is written.
    if folder is not None and not folder.parents[2].exists():
        raise BadInputError(
            f"the files of run {run.info.run_id} are missing: {folder} does not exist; put it "
            "back, or put it beside the database of the store, where it is found"
        )


def read_code(client: "MlflowClient", run_id: str) -> dict[str, str]:
    """Returns the digests of the code of a study, by file; empty for a record of 0.1."""
    with tempfile.TemporaryDirectory() as folder:
        file = fetch(client, run_id, keys.CODE_FILE, folder)
        return {} if file is None else dict(json.loads(file.read_text("utf-8")))


def _load_study(file: Path) -> Study:
    """Reads the study of a record, also of a record of version 0.1.

    Version 0.1 has no section ``training``. It recognised the hyperparameters ``batch_size`` and
    ``patience`` by their names.
    """
    data = read_yaml(file.read_text("utf-8"))
    if isinstance(data, dict) and "training" not in data:
        names = {**data.get("space", {}), **data.get("fixed", {})}
        data["training"] = {key: key for key in ("batch_size", "patience") if key in names}
    return parse_study(data, str(file))


def get_run(client: "MlflowClient", run_id: str) -> "Run":
    """Returns a run.

    Raises:
        BadInputError: There is no run with this id.
    """
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise  # an outage does not mean that there is no such run
        raise BadInputError(
            f"run_id: there is no run {run_id!r} in {client.tracking_uri} ({error.message}); "
            "check the id and MLFLOW_TRACKING_URI"
        ) from error


def _children(client: "MlflowClient", parent: "Run") -> list["Run"]:
    runs = all_pages(
        lambda token: client.search_runs(
            [parent.info.experiment_id],
            f"tags.`{keys.PARENT}` = '{parent.info.run_id}'",
            max_results=1_000,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
    )
    # A run without params belongs to a trial whose start was not completely written.
    return [run for run in runs if "epochs" in run.data.params]


def _trial_record(
    client: "MlflowClient", run: "Run", study: Study, curves: Curves | None
) -> TrialRecord:
    tags, params = run.data.tags, run.data.params
    ended_ms = _end_of(run)
    measurements = () if curves is None else _curves(client, run, ended_ms, curves)
    for key in (keys.TRIAL, keys.MODEL, keys.RESUME_FROM, keys.REUSED_FROM):
        # Their values become names of folders.
        if not re.fullmatch(r"\w[\w.-]*", tags.get(key, "none")):
            raise BadInputError(
                f"run {run.info.run_id}: tag {key} must be a name of letters, digits, '_', '-' "
                f"and '.'; got {tags[key]!r}"
            )
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
        ended_ms=ended_ms,
    )


def _end_of(run: "Run") -> int:
    """Returns the end of a run in milliseconds; 0 while it runs.

    A run that was opened again still has the end of before.
    """
    return 0 if run.info.status == "RUNNING" else run.info.end_time or 0


def _curves(
    client: "MlflowClient", run: "Run", ended_ms: int, curves: Curves
) -> tuple[Measurement, ...]:
    identity = run.info.run_id, ended_ms
    measurements = curves.get(identity)
    if measurements is None:
        measurements = _measurements(client, run)
        if ended_ms:
            curves[identity] = measurements
    return measurements


def _params(logged: Mapping[str, str], study: Study) -> dict[str, ParamValue]:
    """Converts MLflow's strings to the types that the study declares."""
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
            # The cause is not this trial, so a resumed study trains it again.
            state, failure = TrialState.INTERRUPTED, None
    best = metrics.get(keys.best_value(study.objective.metric))
    return TrialResult(
        state=state,
        value=best,
        best_step=int(metrics[keys.BEST_EPOCH]) if best is not None else None,
        measurements=measurements,
        duration_s=metrics.get(keys.TRAIN_SECONDS, 0.0),
        failure=failure,
        facts={k: v for k, v in metrics.items() if k == keys.PARAMETERS},
        worker=tags.get(keys.WORKER, ""),
        stop_reason=tags.get(keys.STOP_REASON, ""),
        reused_from=tags.get(keys.REUSED_FROM, ""),
        inherited=int(metrics.get(keys.INHERITED, 0)),
    )


def _is_curve(key: str) -> bool:
    """Whether a metric of a trial has a value per epoch; the others are logged once."""
    return not key.startswith(("best_", "test_")) and key not in _ONCE


def _measurements(client: "MlflowClient", run: "Run") -> tuple[Measurement, ...]:
    run_id = run.info.run_id
    steps: dict[int, dict[str, float]] = {}
    for key in filter(_is_curve, run.data.metrics):
        for metric in client.get_metric_history(run_id, key):
            steps.setdefault(metric.step, {})[key] = metric.value
    elapsed, result = 0.0, []
    for step, metrics in sorted(steps.items()):
        elapsed += metrics.get(keys.EPOCH_SECONDS, 0.0)
        result.append(Measurement(step=step, metrics=metrics, elapsed_s=elapsed))
    return tuple(result)
