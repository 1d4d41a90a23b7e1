"""The trials of an earlier study, which the searchers of a new one learn before they begin."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tuning.core.errors import BadInputError
from tuning.core.trial import Phase, TrialRecord, TrialState
from tuning.search.names import SearcherSpec
from tuning.study.file import Study
from tuning.tracking.reader import read_record

if TYPE_CHECKING:
    from mlflow import MlflowClient


def warm_trials(client: "MlflowClient", study: Study) -> list[TrialRecord]:
    """Returns the ended search trials of the study that ``warm_start`` names.

    They are numbered from below 0, because the trials of the new study begin with 0. Of several
    trials of one configuration, the first is taken.

    Raises:
        BadInputError: There is no such study, or it has another space or another objective.
    """
    earlier = read_record(client, study.warm_start)
    for name in ("space", "objective"):
        before, now = _declared(getattr(earlier.study, name)), _declared(getattr(study, name))
        if before != now:
            raise BadInputError(
                f"warm_start: run {study.warm_start} has another {name}: {before}, and this study "
                f"{now}; its trials cannot be used"
            )
    ended: dict[str, TrialRecord] = {}
    for record in earlier.in_phase(Phase.SEARCH):
        if record.result.state in (TrialState.COMPLETED, TrialState.PRUNED):
            ended.setdefault(study.config_id(record.trial.params), record)
    return [
        replace(record, trial=replace(record.trial, number=number - len(ended)))
        for number, record in enumerate(ended.values())
    ]


def check_warm_start(study: Study, searchers: Sequence[SearcherSpec]) -> None:
    """Refuses a searcher that cannot learn the trials of another study.

    Raises:
        BadInputError: The study has a warm start and such a searcher.
    """
    for spec in searchers:
        if study.warm_start and (spec.library, spec.algorithm) == ("keras_tuner", "hyperband"):
            raise BadInputError(
                "warm_start: keras_tuner:hyperband cannot learn the trials of another study; use "
                "keras_tuner:bayesian, or optuna+hyperband"
            )


def _declared(section: Any) -> Any:
    data = section.model_dump(mode="json")
    if isinstance(data, dict):
        for each in data.values():
            if isinstance(each, dict):
                each.pop("default", None)  # it changes the baseline, and not the space
    return data
