"""Resumes a study: finds its run, checks that it is unchanged, and lists the pending trials."""

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from tuning.core.errors import BadInputError
from tuning.core.task import DataInfo
from tuning.core.trial import FailureKind, Phase, Trial, TrialRecord, TrialState
from tuning.study.file import Study
from tuning.study.record import StudyRecord
from tuning.study.sections import Section
from tuning.study.yaml_text import write_yaml
from tuning.tracking import keys
from tuning.workflow.code import changed_files

if TYPE_CHECKING:
    from mlflow import MlflowClient

_Model = TypeVar("_Model", bound=BaseModel)

# A change of these fields does not change the meaning of the trials that have ended. Whatever else
# the study file says is a part of the study's identity, and so are its data, its backend, its
# number of epochs and, unless --allow-change is passed, its code.
CHANGEABLE_FIELDS = ("budget", "confirm", "gate", "limits", "on_error", "profiles")
# The recorded values of these fields may differ from the study file: they may have been set on the
# command line when the study began, and they choose neither the code that runs nor the gate.
_HARMLESS_FIELDS = ("budget", "confirm", "limits", "on_error", "searchers", "seed", "training")
# Fields of the trainings per configuration and of their rows; see ``_rows``.
_ROWS = (
    "budget.repeats",
    "search.folds",
    "confirm.resample",
    "confirm.folds",
    "confirm.gap",
    "confirm.embargo",
)
# These fields may differ in every run of a study.
_MACHINE_FIELDS = ("resources",)
# Failures that are due to the machine or the code rather than to the configuration.
_RETRIED_FAILURES = (
    FailureKind.LIMIT,
    FailureKind.OUT_OF_MEMORY,
    FailureKind.ERROR,
    FailureKind.WORKER_LOST,
)


def find_run(client: "MlflowClient", run_id: str, study: str, kind: str = keys.TUNE) -> str:
    """Returns the id of the parent run of a study.

    Args:
        client: Client of the MLflow store.
        run_id: Id of the parent run, or ``last`` for the newest run of the study.
        study: Name of the study; empty for any study.
        kind: Kind of the parent run.

    Raises:
        BadInputError: The newest run is wanted, and the study has no run yet.
    """
    if run_id != "last":
        return run_id
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(
        experiments,
        f"tags.`{keys.KIND}` = '{kind}'"
        + (f" and tags.`{keys.STUDY}` = '{study}'" if study else ""),
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    if not runs and not study:
        raise BadInputError("run_id: there is no run of a study in this store yet; run one first")
    if not runs:
        raise BadInputError(f"run_id: there is no run of the study {study!r} yet; run it first")
    return str(runs[0].info.run_id)


def merge(record: StudyRecord, file: Study) -> Study:
    """Returns the recorded study with the changes that the study file has had since then."""
    study = _merged(record.study, record.written, file)
    return study.model_copy(update={name: getattr(file, name) for name in _MACHINE_FIELDS})


def _merged(begun: _Model, written: _Model, now: _Model) -> _Model:
    update: dict[str, Any] = {}
    for name in _changed(written, now):
        value = getattr(now, name)
        if isinstance(value, Section):
            value = _merged(getattr(begun, name), getattr(written, name), value)
        update[name] = value
    return begun.model_copy(update=update)


def check_same(
    record: StudyRecord, file: Study, told: Study, wanted: Study, allow_change: bool
) -> None:
    """Refuses to resume a study whose definition is not the one that the study began with.

    Args:
        record: Record of the study that is to be resumed.
        file: Study file as it is now, with the profile of the data.
        told: Study file with the settings of the present command line.
        wanted: Recorded study with the present changes of the study file and the command line.
        allow_change: Whether the fields in ``CHANGEABLE_FIELDS`` may differ.

    Raises:
        BadInputError: A field differs that must not differ. The message shows the difference.
    """
    complaint = f"the study file is not the one that run {record.run_id} began with; restore it"
    _refuse(record.written, file, allow_change, complaint)
    # A value that only the record has must not choose the code that runs, nor the gate: the record
    # may have been changed in the store.
    unknown = set(_changed(told, wanted)) - {*_HARMLESS_FIELDS}
    if unknown:
        raise BadInputError(
            f"run {record.run_id} began with other values of {', '.join(sorted(unknown))} than "
            "the study file has; give the same --set again. If there was no --set, the record in "
            "the store was changed"
        )
    complaint = f"these options differ from those that run {record.run_id} began with"
    _refuse(record.study, wanted, allow_change, f"{complaint}; leave them out")


def _refuse(old: Study, new: Study, allow_change: bool, complaint: str) -> None:
    changed = _changed(old, new)
    refused = [name for name in changed if not allow_change or name not in CHANGEABLE_FIELDS]
    epochs = [
        f"budget.epochs: {old.budget.epochs}, now {new.budget.epochs}"
        if old.budget.epochs != new.budget.epochs
        else "",
        f"confirm.long_run: {old.confirm.long_run}, now {new.confirm.long_run}"
        if old.confirm.long_run not in (None, new.confirm.long_run)
        else "",
    ]
    if any(epochs):
        raise BadInputError(
            f"{complaint}, or begin a new study. The number of epochs cannot change, because "
            "models that were trained for longer would be compared with the others: "
            + "; ".join(filter(None, epochs))
        )
    rows = [
        f"{name}: {before}, now {now}"
        for name, before, now in zip(_ROWS, _rows(old), _rows(new), strict=True)
        if before != now
    ]
    if rows:
        raise BadInputError(
            f"{complaint}, or begin a new study. The trainings per configuration and their rows "
            f"cannot change: {'; '.join(rows)}"
        )
    if refused:
        changeable = set(refused) <= set(CHANGEABLE_FIELDS)
        cure = "or pass --allow-change" if changeable else "or begin a new study"
        raise BadInputError(f"{complaint}, {cure}:\n{_difference(old, new, changed)}")


def _rows(study: Study) -> tuple[object, ...]:
    """Returns the fields that say how often a configuration is trained, and on which rows."""
    confirm = study.confirm
    cuts = (confirm.resample, confirm.folds, confirm.gap, confirm.embargo)
    return (study.budget.repeats, study.search.folds, *cuts)


def _changed(old: BaseModel, new: BaseModel) -> list[str]:
    before, now = old.model_dump(mode="json"), new.model_dump(mode="json")
    return [name for name in before if before[name] != now[name] and name not in _MACHINE_FIELDS]


def check_same_data(record: StudyRecord, data: DataInfo) -> None:
    """Refuses to resume a study with other data.

    Raises:
        BadInputError: The digests of the data differ. The message shows both.
    """
    if record.data.digest != data.digest:
        raise BadInputError(
            f"the data are not those that run {record.run_id} began with: then "
            f"{record.data.name} ({record.data.digest[:12]}) from {record.data.source}, now "
            f"{data.name} ({data.digest[:12]}) from {data.source}. Restore the data, or "
            "begin a new study"
        )


def check_same_code(
    run_id: str, before: Mapping[str, str], now: Mapping[str, str], allow_change: bool
) -> list[str]:
    """Refuses to resume a study with other code.

    Args:
        run_id: Id of the parent run.
        before: Digests of the files of the recorded code, by name; empty if they are unknown.
        now: Digests of the present files, by name.
        allow_change: Whether files may differ.

    Returns:
        Names of the files that differ.

    Raises:
        BadInputError: Files differ, and that is not allowed. The message names them.
    """
    changed = changed_files(before, now)
    if changed and not allow_change:
        raise BadInputError(
            f"the code is not the one that run {run_id} began with: {', '.join(changed)} "
            f"{'differs' if len(changed) == 1 else 'differ'}; restore it, or pass --allow-change, "
            "which notes the change in the report"
        )
    return changed


def reopen(client: "MlflowClient", record: StudyRecord) -> None:
    """Sets the parent run to running, and ends the trial runs that have no end.

    Interrupted trials that are trained again open their runs again. The verdict of a study that
    was finished before no longer holds.
    """
    client.update_run(record.run_id, status="RUNNING")
    if keys.VERDICT in record.tags:
        client.delete_tag(record.run_id, keys.VERDICT)
    for trial in record.trials:
        if not trial.ended_ms:
            client.set_terminated(trial.run_id, keys.RUN_STATUS[trial.result.state])


def pending(records: Sequence[TrialRecord]) -> list[Trial]:
    """Returns the trials to train again, in the order of their numbers.

    These are the interrupted trials, and the trials with fresh seeds whose failure was not due to
    their configuration: without them the comparison would lack a seed. A failed trial of a search
    is not trained again, because its searcher has already learned the failure.
    """
    trials = [record.trial for record in records if _unfinished(record)]
    return sorted(trials, key=lambda trial: trial.number)


def _unfinished(record: TrialRecord) -> bool:
    failure = record.result.failure
    fresh = record.trial.phase is not Phase.SEARCH
    return record.result.state is TrialState.INTERRUPTED or (
        fresh and failure is not None and failure.kind in _RETRIED_FAILURES
    )


def _difference(old: Study, new: Study, keys: Sequence[str]) -> str:
    def text(study: Study) -> list[str]:
        chosen = {key: study.model_dump(mode="json", exclude_none=True).get(key) for key in keys}
        return write_yaml(chosen).splitlines()

    lines = list(difflib.unified_diff(text(old), text(new), "begun with", "now", n=0, lineterm=""))
    return "\n".join(f"  {line}" for line in lines if not line.startswith("@@"))
