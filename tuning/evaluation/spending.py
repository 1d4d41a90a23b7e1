"""Computes the cost of a study so far, and the time that its confirmation still needs."""

import math
from collections.abc import Sequence

from tuning.core.trial import Phase, TrialRecord, TrialState
from tuning.study.file import Study
from tuning.tracking import keys


def busy_seconds(records: Sequence[TrialRecord]) -> float:
    """Returns the seconds during which at least one trial was running, without pauses."""
    total, reached = 0, 0
    for start, end in sorted((r.started_ms, r.ended_ms or r.started_ms) for r in records):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total / 1000


def longest_first(
    study: Study, ended: Sequence[TrialRecord], candidates: Sequence[TrialRecord]
) -> list[TrialRecord]:
    """Sorts candidates by training time, longest first.

    If a long training starts last, other workers are idle at the end.
    """
    seconds = _training_seconds(study, ended)
    return sorted(candidates, key=lambda r: -seconds.get(study.config_id(r.trial.params), 0.0))


def seconds_to_confirm(
    study: Study, ended: Sequence[TrialRecord], candidates: Sequence[TrialRecord], workers: int
) -> float:
    """Estimates the seconds that the trials after the search still need.

    The estimate uses the longest training of each configuration so far. For a configuration that
    was not trained yet, it uses the longest training of all. It is high on purpose: a comparison
    that is early is better than one that is late.

    Args:
        study: Study with the settings of the confirmation.
        ended: Trials that have ended so far.
        candidates: Search trials that would be confirmed if the search ended now.
        workers: Number of workers that train in parallel.
    """
    durations = _training_seconds(study, ended)
    if not durations:
        return 0.0
    longest = max(durations.values())
    configs = [study.config_id(params) for params in (study.baseline, *study.references.values())]
    configs += [study.config_id(record.trial.params) for record in candidates]
    configs += [""] * (study.confirm.top_k - len(candidates))
    fresh = [study.config_id(r.trial.params) for r in ended if r.trial.phase in keys.CONFIRMED]
    remaining: list[float] = []
    for config in configs:
        trainings = max(0, study.confirm.seeds - fresh.count(config))
        remaining += [durations.get(config, longest)] * trainings
    phases = [record.trial.phase for record in ended]
    if study.confirm.long_run:
        max_trials = study.confirm.seeds * (1 + len(study.references))
        trainings = max(0, max_trials - phases.count(Phase.LONG_RUN))
        remaining += [longest * study.confirm.long_run / study.budget.epochs] * trainings
    if study.confirm.ablation:
        max_trials = study.confirm.seeds * len(study.space.names)
        remaining += [longest] * max(0, max_trials - phases.count(Phase.ABLATION))
    # During the last training, all other workers can be idle.
    idle = longest * (1 - 1 / workers) if remaining else 0.0
    return math.fsum(remaining) / workers + idle


def spending(ended: Sequence[TrialRecord]) -> dict[str, float]:
    """Returns the cost and the savings of the trials, by the names of the parent run's metrics."""
    search = [record for record in ended if record.trial.phase is Phase.SEARCH]
    trained = [record for record in search if not record.result.reused_from]
    reused = [record.result for record in search if record.result.reused_from]
    states = [record.result.state for record in trained]
    pruned = [record for record in trained if record.result.state is TrialState.PRUNED]
    results = [record.result for record in ended if not record.result.reused_from]
    return {
        keys.TRIALS_COMPLETED: states.count(TrialState.COMPLETED),
        keys.TRIALS_PRUNED: states.count(TrialState.PRUNED),
        keys.TRIALS_FAILED: states.count(TrialState.FAILED),
        keys.TRIALS_REUSED: len(reused),
        keys.EPOCHS_TRAINED: sum(len(r.measurements) - r.inherited for r in results),
        keys.EPOCHS_SAVED_BY_PRUNING: sum(
            r.trial.epochs - len(r.result.measurements) for r in pruned
        ),
        keys.EPOCHS_SAVED_BY_CONTINUING: sum(record.result.inherited for record in trained),
        keys.EPOCHS_SAVED_BY_REUSE: sum(len(r.measurements) for r in reused),
    }


def _training_seconds(study: Study, ended: Sequence[TrialRecord]) -> dict[str, float]:
    """Returns the longest training time of each configuration, by its id, in seconds.

    Only completed trials count, and no reused ones.
    """
    seconds: dict[str, float] = {}
    for record in ended:
        if record.completed and not record.result.reused_from:
            config = study.config_id(record.trial.params)
            seconds[config] = max(seconds.get(config, 0.0), record.result.duration_s)
    return seconds
