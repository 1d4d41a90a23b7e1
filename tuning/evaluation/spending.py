"""What a study has spent and saved, and what it has to keep back for its comparison."""

import math
from collections.abc import Sequence

from tuning.core.trial import Phase, TrialRecord, TrialState
from tuning.study.file import Study


def busy_seconds(records: Sequence[TrialRecord]) -> float:
    """Seconds during which at least one of the trials was trained; pauses between do not count."""
    total, reached = 0, 0
    for start, end in sorted((r.started_ms, r.ended_ms or r.started_ms) for r in records):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total / 1000


def longest_first(
    study: Study, ended: Sequence[TrialRecord], candidates: Sequence[TrialRecord]
) -> list[TrialRecord]:
    """The candidates by their seconds: a long training that begins last leaves workers idle."""
    seconds = _training_seconds(study, ended)
    return sorted(
        candidates, key=lambda record: -seconds.get(study.config_id(record.trial.params), 0.0)
    )


def seconds_to_confirm(
    study: Study, ended: Sequence[TrialRecord], candidates: Sequence[TrialRecord], workers: int
) -> float:
    """Estimates the seconds that the trials with fresh seeds still need.

    A configuration takes as long as its longest training so far, and one that was not trained yet
    as the longest of all: who was promised a comparison by some hour would rather have it early.

    Args:
        study: The study.
        ended: Its trials so far.
        candidates: Those that would be confirmed if the search ended now.
        workers: That share the work.
    """
    durations = _training_seconds(study, ended)
    if not durations:
        return 0.0
    longest = max(durations.values())
    configs = [study.config_id(params) for params in (study.baseline, *study.references.values())]
    configs += [study.config_id(record.trial.params) for record in candidates]
    configs += [""] * (study.confirm.top_k - len(candidates))
    fresh = [
        study.config_id(record.trial.params)
        for record in ended
        if record.trial.phase in (Phase.BASELINE, Phase.REFERENCE, Phase.CONFIRM)
    ]
    left: list[float] = []
    for config in configs:
        trainings = max(0, study.confirm.seeds - fresh.count(config))
        left += [durations.get(config, longest)] * trainings
    extra = study.confirm.long_run or 0
    left += [longest * extra / study.budget.epochs] * max(
        0,
        (extra > 0) * study.confirm.seeds * (1 + len(study.references))
        - _of(ended, Phase.LONG_RUN),
    )
    if study.confirm.ablation:
        most = study.confirm.seeds * len(study.space.names)
        left += [longest] * max(0, most - _of(ended, Phase.ABLATION))
    # The last of them can leave the other workers idle.
    idle = longest * (1 - 1 / workers) if left else 0.0
    return math.fsum(left) / workers + idle


def spending(ended: Sequence[TrialRecord]) -> dict[str, float]:
    """What the trials cost and saved, by the names of the parent run's metrics."""
    search = [record for record in ended if record.trial.phase is Phase.SEARCH]
    trained = [record for record in search if not record.result.reused_from]
    states = [record.result.state for record in trained]
    pruned = [record for record in trained if record.result.state is TrialState.PRUNED]
    return {
        "trials_completed": states.count(TrialState.COMPLETED),
        "trials_pruned": states.count(TrialState.PRUNED),
        "trials_failed": states.count(TrialState.FAILED),
        "trials_reused": len(search) - len(trained),
        "epochs_trained": sum(_epochs_trained(record) for record in ended),
        "epochs_saved_by_pruning": sum(
            record.trial.epochs - len(record.result.measurements) for record in pruned
        ),
        "epochs_saved_by_continuing": sum(record.result.inherited for record in trained),
        "epochs_saved_by_reuse": sum(
            len(record.result.measurements) for record in search if record.result.reused_from
        ),
    }


def _training_seconds(study: Study, ended: Sequence[TrialRecord]) -> dict[str, float]:
    """The longest training of each configuration that was trained to its end, by its id."""
    seconds: dict[str, float] = {}
    for record in ended:
        if record.completed and not record.result.reused_from:
            config = study.config_id(record.trial.params)
            seconds[config] = max(seconds.get(config, 0.0), record.result.duration_s)
    return seconds


def _of(records: Sequence[TrialRecord], phase: Phase) -> int:
    return sum(record.trial.phase is phase for record in records)


def _epochs_trained(record: TrialRecord) -> int:
    result = record.result
    return 0 if result.reused_from else len(result.measurements) - result.inherited
