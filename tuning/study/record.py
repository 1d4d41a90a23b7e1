"""A study and its results, as the store returns them."""

from collections.abc import Mapping
from dataclasses import dataclass

from tuning.core.record import Look, Predictions
from tuning.core.task import DataInfo
from tuning.core.trial import Phase, TrialRecord
from tuning.study.file import Study


@dataclass(frozen=True)
class StudyRecord:
    """A study and its results, as read from MLflow.

    Attributes:
        run_id: ID of the parent run.
        experiment_id: ID of the MLflow experiment.
        study: The study with all changes from the command line.
        written: The study without these changes, with the profile of the data.
        data: Description of the data.
        tags: Tags of the parent run.
        metrics: Latest values of the parent run's metrics.
        trials: All trials, in the order of their starts. A trial without an end counts as
            interrupted.
        predictions: Predictions on the test split; None until the split was read.
        started_ms: Start of the parent run, Unix time in milliseconds.
        looks: Readings of the test split by this study, in their order. Records of 0.1 have none.
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
    looks: tuple[Look, ...] = ()

    def in_phase(self, *phases: Phase) -> list[TrialRecord]:
        """Returns the trials of the given phases."""
        return [record for record in self.trials if record.trial.phase in phases]
