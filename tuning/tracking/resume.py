"""Going on with a study that stopped: which one, whether it is still the same, what is left."""

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuning.errors import BadInputError
from tuning.protocols import DataInfo
from tuning.study import Study
from tuning.tracking import names
from tuning.tracking.record import StudyRecord, read_record
from tuning.trial import Trial, TrialRecord, TrialState

if TYPE_CHECKING:
    from mlflow import MlflowClient

# What does not change the meaning of the trials that there are.
CHANGEABLE_FIELDS = ("budget", "confirm", "limits", "on_error", "profiles")


def find_study(client: "MlflowClient", run_id: str, name: str) -> StudyRecord:
    """Reads the study to go on with.

    Args:
        client: Of the store.
        run_id: Its parent run, or ``last`` for the newest of that name.
        name: The study's name.

    Raises:
        BadInputError: There is no such study.
    """
    return read_record(client, last_run(client, name) if run_id == "last" else run_id)


def last_run(client: "MlflowClient", study: str) -> str:
    """The newest parent run of a study.

    Raises:
        BadInputError: There is none.
    """
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(
        experiments,
        f"tags.`{names.STUDY}` = '{study}' and tags.`{names.KIND}` = '{names.TUNE}'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    if not runs:
        raise BadInputError(f"run_id: there is no run of the study {study!r} yet")
    return str(runs[0].info.run_id)


def merge(record: StudyRecord, file: Study) -> Study:
    """The recorded study with what was changed in the study file since."""
    changed = {name: getattr(file, name) for name in _changed(record.written, file)}
    return record.study.model_copy(update=changed)


def check_same(record: StudyRecord, file: Study, wanted: Study, allow_change: bool) -> None:
    """Refuses to go on with another study than the one that was begun.

    Args:
        record: What was begun.
        file: The study file as it is now, with the profile of the data.
        wanted: The recorded study with what file and command line say now.
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
    changed = _changed(record.study, wanted)
    if refused := _refused(changed, allow_change):
        raise BadInputError(
            f"these options differ from those that run {record.run_id} began with; leave them "
            f"out, {_cure(refused)}:\n{_difference(record.study, wanted, changed)}"
        )


def _changed(old: Study, new: Study) -> list[str]:
    before, now = old.model_dump(mode="json"), new.model_dump(mode="json")
    return [name for name in before if before[name] != now[name]]


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
            client.set_terminated(trial.run_id, names.RUN_STATUS[trial.result.state])


def pending(records: Sequence[TrialRecord]) -> list[Trial]:
    """The trials that were begun and did not end, in order of their numbers."""
    trials = [r.trial for r in records if r.result.state is TrialState.INTERRUPTED]
    return sorted(trials, key=lambda trial: trial.number)


def _difference(old: Study, new: Study, keys: Sequence[str]) -> str:
    import yaml

    def text(study: Study) -> list[str]:
        chosen = {key: study.model_dump(mode="json", exclude_none=True).get(key) for key in keys}
        return str(yaml.safe_dump(chosen, sort_keys=False)).splitlines()

    lines = list(difflib.unified_diff(text(old), text(new), "begun with", "now", n=0, lineterm=""))
    return "\n".join(f"  {line}" for line in lines if not line.startswith("@@"))
