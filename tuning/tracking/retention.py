"""Finds and removes the models that the retention policy does not keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlparse

from tuning.core.trial import TrialRecord
from tuning.study.record import StudyRecord
from tuning.tracking import keys
from tuning.tracking.retry import or_none

if TYPE_CHECKING:
    from mlflow import MlflowClient

Keep = Literal["all", "confirmed", "first_seeds"]


@dataclass(frozen=True)
class Removable:
    """A model of a trial that may be removed.

    Attributes:
        trial: Name of the trial.
        model_id: Id of the logged model.
        location: Address of the model's files.
        bytes: Size of the files in bytes; None if they are not on this machine.
    """

    trial: str
    model_id: str
    location: str
    bytes: int | None


def removable(client: "MlflowClient", record: StudyRecord, keep: Keep) -> list[Removable]:
    """Returns the models of a study that ``keep`` does not keep.

    Args:
        client: Client of the MLflow store.
        record: Record of the study.
        keep: Policy. ``all`` keeps the models of all trials. ``confirmed`` keeps the models of the
            confirmed configurations, including their long runs. ``first_seeds`` keeps only the
            first seed of each of these. A registered model, under any name, is always kept.
    """
    registered = {
        version.model_id or version.source.removeprefix("models:/")
        for version in client.search_model_versions()
        if version.source
    }
    kept = {trial.model_id for trial in _kept(record, keep)} | registered
    models = (
        _describe(client, trial)
        for trial in record.trials
        if trial.model_id and trial.model_id not in kept
    )
    return [model for model in models if model is not None]


def remove(client: "MlflowClient", models: Sequence[Removable]) -> None:
    """Deletes the models and their files. The runs keep their params, metrics and curves."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    for model in models:
        # Files first: if this stops halfway, the next call finds the model and goes on.
        repository: Any = get_artifact_repository(model.location)
        repository.delete_artifacts()
        client.delete_logged_model(model.model_id)


def _kept(record: StudyRecord, keep: Keep) -> list[TrialRecord]:
    if keep == "all":
        return list(record.trials)
    confirmed = record.in_phase(*keys.TESTED)
    if keep == "confirmed":
        return confirmed
    first: dict[tuple[str, str], TrialRecord] = {}
    for trial in sorted(confirmed, key=lambda trial: trial.trial.number):
        key = trial.trial.phase.value, trial.trial.tags.get(keys.CANDIDATE, "")
        first.setdefault(key, trial)
    return list(first.values())


def _describe(client: "MlflowClient", trial: TrialRecord) -> Removable | None:
    """Describes the model of a trial; None if the store has no such model."""
    model = or_none(lambda: client.get_logged_model(trial.model_id))
    if model is None:
        return None
    location = model.artifact_location
    return Removable(trial.trial.name, trial.model_id, location, _size(location))


def _size(location: str) -> int | None:
    address = urlparse(location)
    if address.scheme not in ("", "file"):
        return None
    folder = Path(unquote(address.path))
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
