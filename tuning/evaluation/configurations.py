"""Configurations that were trained with fresh seeds, as the comparison sees them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuning.core.trial import ParamValue, Phase, TrialRecord, TrialState
from tuning.metrics.binary import scores
from tuning.study.file import Study
from tuning.study.record import StudyRecord
from tuning.tracking import keys


@dataclass(frozen=True)
class Configuration:
    """A configuration that was trained with the fresh seeds.

    Attributes:
        label: ``baseline``, a reference's name, or the search trial that proposed it.
        role: ``baseline``, ``reference`` or ``candidate``.
        params: The configuration.
        trials: Its completed trials, by seed.
        seeds: Their seeds.
        search_value: The objective in the search, for a candidate.
        validation: Best objective, by seed.
        best_steps: The epoch that it was reached in, whose weights the model has, by seed.
        test_accuracy: By seed; empty before the test split was read.
        test_loss: By seed.
        train_seconds: Mean.
        parameter_count: Of one model.
    """

    label: str
    role: str
    params: dict[str, ParamValue]
    trials: list[str]
    seeds: list[int]
    search_value: float | None
    validation: list[float]
    best_steps: list[int]
    test_accuracy: list[float]
    test_loss: list[float]
    train_seconds: float
    parameter_count: int

    @property
    def mean_validation(self) -> float:
        """Mean of the best objective over seeds."""
        return float(np.mean(self.validation))

    @property
    def mean_test(self) -> float:
        """Mean test accuracy over seeds."""
        return float(np.mean(self.test_accuracy))

    @property
    def sd_test(self) -> float:
        """Standard deviation of the test accuracy over seeds; NaN for one seed."""
        return float(np.std(self.test_accuracy, ddof=1)) if len(self.trials) > 1 else math.nan


def choose_winner(study: Study, candidates: Sequence[Configuration]) -> Configuration | None:
    """The candidate with the best mean on validation; the test split has no say."""
    by_label = {config.label: config for config in candidates}
    label = study.winner({label: config.validation for label, config in by_label.items()})
    return None if label is None else by_label[label]


def confirmed_configurations(record: StudyRecord) -> list[Configuration]:
    """Groups the completed trials with fresh seeds by configuration.

    Once the test split was read, those whose model could not be asked about it do not count.
    """
    return grouped(record, keys.CONFIRMED)


def grouped(record: StudyRecord, phases: Sequence[Phase]) -> list[Configuration]:
    """The same of the given phases."""
    tested = record.predictions.probabilities if record.predictions else None
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    roles = {
        Phase.BASELINE: keys.BASELINE,
        Phase.REFERENCE: "reference",
        Phase.LONG_RUN: "long run",
    }
    for trial in record.in_phase(*phases):
        done = trial.result.state is TrialState.COMPLETED
        if done and (tested is None or trial.trial.name in tested):
            role = roles.get(trial.trial.phase, "candidate")
            label = trial.trial.tags.get(keys.CANDIDATE, keys.BASELINE)
            groups.setdefault((role, label), []).append(trial)
    by_name = {trial.trial.name: trial for trial in record.trials}
    return [
        _configuration(record, label, role, trials, by_name)
        for (role, label), trials in groups.items()
    ]


def _configuration(
    record: StudyRecord,
    label: str,
    role: str,
    trials: list[TrialRecord],
    by_name: dict[str, TrialRecord],
) -> Configuration:
    trials = sorted(trials, key=lambda trial: trial.trial.number)
    measured = [
        scores(record.predictions.labels, record.predictions.probabilities[trial.trial.name])
        for trial in trials
        if record.predictions
    ]
    origin = by_name.get(label)
    return Configuration(
        label=label,
        role=role,
        params=record.study.searched(trials[0].trial.params),
        trials=[trial.trial.name for trial in trials],
        seeds=[trial.trial.seed for trial in trials],
        search_value=origin.result.value if origin else None,
        validation=[t.result.value for t in trials if t.result.value is not None],
        best_steps=[trial.result.best_step or 0 for trial in trials],
        test_accuracy=[score["test_accuracy"] for score in measured],
        test_loss=[score["test_loss"] for score in measured],
        train_seconds=float(np.mean([trial.result.duration_s for trial in trials])),
        parameter_count=int(trials[0].result.facts.get("parameter_count", 0)),
    )
