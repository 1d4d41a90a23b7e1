"""A study with what came of it, as the store remembers it."""

from collections.abc import Mapping
from dataclasses import dataclass

from tuning.core.record import Predictions
from tuning.core.task import DataInfo
from tuning.core.trial import Phase, TrialRecord
from tuning.study.file import Study


@dataclass(frozen=True)
class StudyRecord:
    """A study as MLflow remembers it.

    Attributes:
        run_id: The parent run.
        experiment_id: Its experiment.
        study: The study file, with everything that the command line changed.
        written: The study file as it was, with the profile of the data.
        data: What it was trained on.
        tags: Of the parent run.
        metrics: Of the parent run, the latest values.
        trials: Every trial, in order of their start; one without an end counts as interrupted.
        predictions: None until the test split was read.
        started_ms: Start of the parent run, Unix time in milliseconds.
    """

    run_id: str
    experiment_id: str
    study: Study
    written: Study
    data: DataInfo
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    trials: tuple[TrialRecord, ...]
    predictions: Predictions | None
    started_ms: int

    def in_phase(self, *phases: Phase) -> list[TrialRecord]:
        """The trials of the given phases."""
        return [record for record in self.trials if record.trial.phase in phases]
