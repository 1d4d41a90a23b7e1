"""How a study used its time: what each worker trained, and when it was idle."""

from collections.abc import Sequence
from dataclasses import dataclass

from tuning.core.trial import Phase, TrialRecord
from tuning.study.record import StudyRecord


@dataclass(frozen=True)
class Bar:
    """A trial on a worker. The times are in seconds since the study began."""

    worker: str
    phase: Phase
    begin_s: float
    end_s: float


@dataclass(frozen=True)
class StudyStage:
    """Phases whose trials run at the same time. Two stages may overlap.

    Attributes:
        title: Title of the stage.
        seconds: Duration from the start of the first trial to the end of the last one, in seconds.
        training: Share of the workers' time that they spent on epochs, from 0 to 1.
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
    """Returns the trials that ended, sorted by worker and start."""
    unsorted = [
        Bar(
            trial.result.worker,
            trial.trial.phase,
            # An interrupted trial began long before its last attempt; only that attempt counts.
            (max(trial.started_ms, trial.ended_ms - 1000 * trial.result.duration_s) - begin)
            / 1000,
            (trial.ended_ms - begin) / 1000,
        )
        for begin in [record.started_ms]
        for trial in _ended(record.trials)
    ]
    return sorted(unsorted, key=lambda bar: (bar.worker, bar.begin_s))


def stages(record: StudyRecord) -> list[StudyStage]:
    """Returns the duration of each stage and the share of training in it."""
    workers = len({trial.result.worker for trial in _ended(record.trials)})
    measured = []
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
            measured.append(StudyStage(title, seconds, epochs / (workers * seconds)))
    return measured


def _ended(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [trial for trial in trials if trial.result.worker and trial.ended_ms]
