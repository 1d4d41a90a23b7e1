"""What scripts of KerasTuner read of an oracle, after the search."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from keras_tuner import HyperParameters, Objective

from tuning.core.trial import Phase, TrialRecord
from tuning.study.record import StudyRecord


def best_configurations(record: StudyRecord, count: int) -> list[list[TrialRecord]]:
    """Returns the completed trials of the best configurations of a search, best first."""
    groups: dict[str, list[TrialRecord]] = {}
    for each in record.in_phase(Phase.SEARCH):
        if each.completed and not each.result.reused_from:
            groups.setdefault(record.study.config_id(each.trial.params), []).append(each)
    key = record.study.objective.key
    return sorted(groups.values(), key=lambda trials: key(mean_value(trials)))[:count]


def mean_value(trials: Sequence[TrialRecord]) -> float:
    """Returns the mean objective of the trials of one configuration."""
    return fmean(each.result.value for each in trials if each.result.value is not None)


def hyperparameters_with(space: HyperParameters, record: TrialRecord) -> HyperParameters:
    """Returns the hyperparameters of a trial, with the declarations of the space."""
    found = HyperParameters.from_config(space.get_config())
    found.values = dict(record.trial.params)
    return found


class FinishedOracle:
    """The part of an oracle that scripts read.

    Args:
        record: Record of the search.
        space: Search space.

    Attributes:
        objective: Objective of the search.
    """

    def __init__(self, record: StudyRecord, space: HyperParameters) -> None:
        self._record = record
        self._space = space
        objective = record.study.objective
        self.objective = Objective(objective.metric, objective.direction[:3])

    @property
    def trials(self) -> dict[str, Any]:
        """Finished trials by their names."""
        return {each.trial_id: each for each in self.get_best_trials(10**9)}

    def get_space(self) -> HyperParameters:
        """Returns the search space."""
        return self._space

    def get_best_trials(self, num_trials: int = 1) -> list[Any]:
        """Returns the best trials, best first, with hyperparameters and score."""
        from keras_tuner.src.engine.trial import Trial

        trials = []
        for each in best_configurations(self._record, num_trials):
            hyperparameters = hyperparameters_with(self._space, each[0])
            trial = Trial(hyperparameters, trial_id=each[0].trial.name, status="COMPLETED")
            trial.score, trial.best_step = mean_value(each), each[0].result.best_step
            trials.append(trial)
        return trials
