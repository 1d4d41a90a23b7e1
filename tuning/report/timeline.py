"""Where a study's time went: what each worker trained, and when it waited."""

from collections.abc import Sequence
from dataclasses import dataclass

from tuning.core.trial import Phase, TrialRecord
from tuning.study.record import StudyRecord


@dataclass(frozen=True)
class Bar:
    """A trial on a worker; times in seconds since the study began."""

    worker: str
    phase: Phase
    begin_s: float
    end_s: float


@dataclass(frozen=True)
class StudyStage:
    """Phases that run side by side; two stages may overlap.

    Attributes:
        title: Of the stage.
        seconds: From the start of its first trial to the end of its last.
        training: Share of the workers' time in it, from 0 to 1, that was epochs.
    """

    title: str
    seconds: float
    training: float


_STAGES = {
    "baseline and search": (Phase.BASELINE, Phase.SEARCH),
    "references and confirmation": (Phase.REFERENCE, Phase.CONFIRM),
    "long runs and ablation": (Phase.LONG_RUN, Phase.ABLATION),
}


def bars(record: StudyRecord) -> list[Bar]:
    """The trials that ended, by worker and in order of time."""
    found = [
        Bar(
            trial.result.worker,
            trial.trial.phase,
            # A trial that was interrupted has begun long before its last attempt.
            (max(trial.started_ms, trial.ended_ms - 1000 * trial.result.duration_s) - begin)
            / 1000,
            (trial.ended_ms - begin) / 1000,
        )
        for begin in [record.started_ms]
        for trial in _ended(record.trials)
    ]
    return sorted(found, key=lambda bar: (bar.worker, bar.begin_s))


def stages(record: StudyRecord) -> list[StudyStage]:
    """How much of the time of each stage was training."""
    workers = len({trial.result.worker for trial in _ended(record.trials)})
    found = []
    for title, phases in _STAGES.items():
        trials = _ended(record.in_phase(*phases))
        if trials:
            begin = min(trial.started_ms for trial in trials)
            seconds = max(max(trial.ended_ms for trial in trials) - begin, 1) / 1000
            epochs = sum(
                measurement.metrics.get("epoch_seconds", 0.0)
                for trial in trials
                for measurement in trial.result.measurements[trial.result.inherited :]
            )
            found.append(StudyStage(title, seconds, epochs / (workers * seconds)))
    return found


def _ended(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [trial for trial in trials if trial.result.worker and trial.ended_ms]
