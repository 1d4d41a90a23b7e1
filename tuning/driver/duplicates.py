"""Search trials with the same training: one is trained, and the others reuse its result."""

from collections.abc import Iterable
from dataclasses import replace

from tuning.core.trial import (
    REPEAT,
    Phase,
    Trial,
    TrialRecord,
    TrialResult,
    TrialState,
    config_hash,
)


class Duplicates:
    """Keeps track of search trials that were trained, are being trained, or wait for a duplicate.

    Search trials are duplicates if they have the same hyperparameters and number of epochs. A
    trial that continues from a checkpoint, or keeps one, has no duplicates. Other phases train a
    configuration repeatedly on purpose, with different seeds.
    """

    def __init__(self) -> None:
        self._ended: dict[str, TrialRecord] = {}
        self._training: dict[str, str] = {}
        self._waiting: dict[str, list[str]] = {}

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Learns the trials of an earlier run of the study."""
        for record in records:
            self._learn(record.trial, record.result)

    def result_for(self, trial: Trial) -> TrialResult | None:
        """Returns the result of a completed duplicate, marked as reused; None without one."""
        key = _key(trial)
        if key not in self._ended:
            return None
        record = self._ended[key]
        return replace(
            record.result, artifacts={}, duration_s=0.0, worker="", reused_from=record.trial.name
        )

    def begin(self, trial: Trial) -> bool:
        """Returns whether the trial may be trained; if not, it waits for a duplicate to end."""
        key = _key(trial)
        if not key:
            return True
        if self._training.get(key, trial.name) != trial.name:
            self._waiting.setdefault(key, []).append(trial.name)
            return False
        self._training[key] = trial.name
        return True

    def end(self, trial: Trial, result: TrialResult) -> list[str]:
        """Learns the end of a trial; returns the names of the trials that waited for it."""
        key = _key(trial)
        self._learn(trial, result)
        if self._training.get(key) != trial.name:
            return []
        del self._training[key]
        return self._waiting.pop(key, [])

    def _learn(self, trial: Trial, result: TrialResult) -> None:
        if result.state is TrialState.COMPLETED and (key := _key(trial)):
            self._ended.setdefault(key, TrialRecord(trial=trial, result=result))


def _key(trial: Trial) -> str:
    unique = trial.phase is not Phase.SEARCH or trial.keep_checkpoint or trial.resume_from
    if REPEAT in trial.tags:
        return ""  # it repeats a configuration on purpose
    return "" if unique else f"{config_hash(trial.params)}-{trial.epochs}"
