"""Going on with a study that stopped: which one, whether it is still the same, what is left."""

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from tuning.core.errors import BadInputError
from tuning.core.task import DataInfo
from tuning.core.trial import FailureKind, Phase, Trial, TrialRecord, TrialState
from tuning.study.file import Study
from tuning.study.record import StudyRecord
from tuning.study.sections import Section
from tuning.tracking import keys

if TYPE_CHECKING:
    from mlflow import MlflowClient

_Model = TypeVar("_Model", bound=BaseModel)

# What does not change the meaning of the trials that there are.
CHANGEABLE_FIELDS = ("budget", "confirm", "gate", "limits", "on_error", "profiles")
# What the record may say against the study file: set when the study began, and harmless.
_FREELY_RECORDED = ("budget", "confirm", "limits", "on_error", "searchers", "seed", "training")
# What may differ in every run of a study.
_OF_THE_MACHINES = ("resources",)
# Failures that say more of the machine or the code than of the configuration.
_WORTH_ANOTHER_TRY = (FailureKind.LIMIT, FailureKind.ERROR, FailureKind.WORKER_LOST)


def find_run(client: "MlflowClient", run_id: str, study: str) -> str:
    """The parent run of a study.

    Args:
        client: Of the store.
        run_id: Its id, or ``last`` for the newest of that name.
        study: The study's name.

    Raises:
        BadInputError: The study has no run yet.
    """
    if run_id != "last":
        return run_id
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(
        experiments,
        f"tags.`{keys.STUDY}` = '{study}' and tags.`{keys.KIND}` = '{keys.TUNE}'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    if not runs:
        raise BadInputError(f"run_id: there is no run of the study {study!r} yet")
    return str(runs[0].info.run_id)


def merge(record: StudyRecord, file: Study) -> Study:
    """The recorded study with what was changed in the study file since."""
    return _merged(record.study, record.written, file)


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
    """Refuses to go on with another study than the one that was begun.

    Args:
        record: The study that was begun.
        file: The study file as it is now, with the profile of the data.
        told: The study file with what the command line sets now.
        wanted: The recorded study with what file and command line change of it now.
        allow_change: Whether budget, confirmation, limits and the policy on errors may differ.

    Raises:
        BadInputError: With the difference.
    """
    changed = _changed(record.written, file)
    if refused := _refused(changed, allow_change):
        raise BadInputError(
            f"the study file is not the one that run {record.run_id} began with; restore it, "
            f"{_cure(refused)}:\n{_difference(record.written, file, changed)}"
        )
    # What the record alone says must not choose the code that is run, or the gate.
    unsaid = set(_changed(file, record.study)) - {*_changed(file, told), *_FREELY_RECORDED}
    if unsaid:
        raise BadInputError(
            f"run {record.run_id} began with other values of {', '.join(sorted(unsaid))} than the "
            f"study file has; give the same --set again. If none was given, the record was changed"
        )
    changed = _changed(record.study, wanted)
    if refused := _refused(changed, allow_change):
        raise BadInputError(
            f"these options differ from those that run {record.run_id} began with; leave them "
            f"out, {_cure(refused)}:\n{_difference(record.study, wanted, changed)}"
        )


def _changed(old: BaseModel, new: BaseModel) -> list[str]:
    before, now = old.model_dump(mode="json"), new.model_dump(mode="json")
    return [name for name in before if before[name] != now[name] and name not in _OF_THE_MACHINES]


def _refused(changed: Sequence[str], allow_change: bool) -> list[str]:
    return [name for name in changed if not allow_change or name not in CHANGEABLE_FIELDS]


def _cure(refused: Sequence[str]) -> str:
    if set(refused) <= set(CHANGEABLE_FIELDS):
        return "or pass --allow-change"
    return "or begin a new study"


def check_same_data(record: StudyRecord, data: DataInfo) -> None:
    """Refuses to go on with other data.

    Raises:
        BadInputError: With both digests.
    """
    if record.data.digest != data.digest:
        raise BadInputError(
            f"the data are not those that run {record.run_id} began with: then "
            f"{record.data.name} ({record.data.digest[:12]}) from {record.data.source}, now "
            f"{data.name} ({data.digest[:12]}) from {data.source}"
        )


def reopen(client: "MlflowClient", record: StudyRecord) -> None:
    """Marks the parent as running again, and ends runs that were told their end but not closed."""
    client.update_run(record.run_id, status="RUNNING")
    for trial in record.trials:
        if not trial.ended_ms and trial.result.state is not TrialState.INTERRUPTED:
            client.set_terminated(trial.run_id, keys.RUN_STATUS[trial.result.state])


def pending(records: Sequence[TrialRecord]) -> list[Trial]:
    """The trials to train again, in order of their numbers.

    Those that did not end, and those with fresh seeds that failed although their configuration can
    be trained: without them the comparison would miss a seed for ever. What failed in a search is
    an answer that its searcher has had.
    """
    trials = [record.trial for record in records if _unfinished(record)]
    return sorted(trials, key=lambda trial: trial.number)


def _unfinished(record: TrialRecord) -> bool:
    failure = record.result.failure
    fresh = record.trial.phase is not Phase.SEARCH
    return record.result.state is TrialState.INTERRUPTED or (
        fresh and failure is not None and failure.kind in _WORTH_ANOTHER_TRY
    )


def _difference(old: Study, new: Study, keys: Sequence[str]) -> str:
    import yaml

    def text(study: Study) -> list[str]:
        chosen = {key: study.model_dump(mode="json", exclude_none=True).get(key) for key in keys}
        return str(yaml.safe_dump(chosen, sort_keys=False)).splitlines()

    lines = list(difflib.unified_diff(text(old), text(new), "begun with", "now", n=0, lineterm=""))
    return "\n".join(f"  {line}" for line in lines if not line.startswith("@@"))
