"""Groups trials with fresh seeds into configurations, for the comparison."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuning.core.trial import ParamValue, Phase, TrialRecord, TrialState
from tuning.metrics.scoring import scores
from tuning.study.file import Study
from tuning.study.record import StudyRecord
from tuning.tracking import keys


@dataclass(frozen=True)
class Configuration:
    """A configuration with the results of its trials with fresh seeds.

    All lists are in the same order, that of ``trials``.

    Attributes:
        label: ``baseline``, the name of a reference, or the name of a candidate's search trial.
        role: ``baseline``, ``reference``, ``candidate`` or ``long run``.
        params: Searched hyperparameters of the configuration.
        trials: Names of the completed trials.
        seeds: Seeds of the trials.
        search_value: Objective of a candidate in the search; None for other roles.
        validation: Best objectives on the validation split.
        best_steps: Epochs of the best objectives. The models have the weights of these epochs.
        test: Values of the deciding metric on the test split; empty before the split is read.
        additional: Values of the additional metrics on the test split, by name of the metric.
        train_seconds: Mean training time per trial, in seconds.
        parameter_count: Number of parameters of one model; 0 if it is unknown.
    """

    label: str
    role: str
    params: dict[str, ParamValue]
    trials: list[str]
    seeds: list[int]
    search_value: float | None
    validation: list[float]
    best_steps: list[int]
    test: list[float]
    additional: dict[str, list[float]]
    train_seconds: float
    parameter_count: int

    @property
    def mean_validation(self) -> float:
        """Mean of the best objective over the seeds."""
        return float(np.mean(self.validation))

    @property
    def mean_test(self) -> float:
        """Mean of the deciding test metric over the seeds."""
        return float(np.mean(self.test))

    @property
    def sd_test(self) -> float:
        """Standard deviation of the test metric over the seeds; NaN for one seed."""
        return float(np.std(self.test, ddof=1)) if len(self.trials) > 1 else math.nan


def choose_winner(study: Study, candidates: Sequence[Configuration]) -> Configuration | None:
    """Returns the candidate with the best mean validation objective, or None.

    A candidate needs a result for every fresh seed. The test split is not used.
    """
    by_label = {config.label: config for config in candidates}
    label = study.winner({label: config.validation for label, config in by_label.items()})
    return None if label is None else by_label[label]


def grouped(record: StudyRecord, phases: Sequence[Phase]) -> list[Configuration]:
    """Groups the completed trials of the given phases, all with fresh seeds, by configuration.

    Once the test split is read, trials without predictions for it are left out.
    """
    tested = record.predictions.outputs if record.predictions else None
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for trial in record.in_phase(*phases):
        is_completed = trial.result.state is TrialState.COMPLETED
        if is_completed and (tested is None or trial.trial.name in tested):
            phase = trial.trial.phase
            role = "candidate" if phase is Phase.CONFIRM else phase.value.replace("_", " ")
            label = trial.trial.tags.get(keys.CANDIDATE, keys.BASELINE)
            groups.setdefault((role, label), []).append(trial)
    return [
        _configuration(record, role, label, trials) for (role, label), trials in groups.items()
    ]


def _configuration(
    record: StudyRecord, role: str, label: str, trials: list[TrialRecord]
) -> Configuration:
    trials = sorted(trials, key=lambda trial: trial.trial.number)
    names = [trial.trial.name for trial in trials]
    predictions, rule = record.predictions, record.study.compare
    origin = next((trial for trial in record.trials if trial.trial.name == label), None)
    return Configuration(
        label=label,
        role=role,
        params=record.study.searched(trials[0].trial.params),
        trials=names,
        seeds=[trial.trial.seed for trial in trials],
        search_value=origin.result.value if origin else None,
        validation=[t.result.value for t in trials if t.result.value is not None],
        best_steps=[trial.result.best_step or 0 for trial in trials],
        test=scores(rule.deciding, predictions, names) if predictions else [],
        additional={
            metric.name: scores(metric, predictions, names)
            for metric in rule.additional
            if predictions
        },
        train_seconds=float(np.mean([trial.result.duration_s for trial in trials])),
        parameter_count=int(trials[0].result.facts.get(keys.PARAMETERS, 0)),
    )
