"""Search trials that would be the same training: one is trained, the others take its result."""

from collections.abc import Iterable
from dataclasses import replace

from tuning.core.trial import Phase, Trial, TrialRecord, TrialResult, TrialState, config_hash


class Duplicates:
    """Knows which search trials were trained, are being trained, and wait for one of these.

    Trials are duplicates if they have the same hyperparameters and epochs; one that goes on from
    another, or that others go on from, has none. Baseline, references and confirmation are
    repeated with seeds of their own on purpose.
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
        """The result of a duplicate that was trained to its end, as this trial's own; or None."""
        key = _key(trial)
        if key not in self._ended:
            return None
        source = self._ended[key]
        return replace(
            source.result, artifacts={}, duration_s=0.0, worker="", reused_from=source.trial.name
        )

    def begin(self, trial: Trial) -> bool:
        """Whether the trial may be trained; if not it waits for the end of a duplicate."""
        key = _key(trial)
        if not key:
            return True
        if self._training.get(key, trial.name) != trial.name:
            self._waiting.setdefault(key, []).append(trial.name)
            return False
        self._training[key] = trial.name
        return True

    def end(self, trial: Trial, result: TrialResult) -> list[str]:
        """Learns the end of a trial; the names of those that have waited for it."""
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
    alone = trial.phase is not Phase.SEARCH or trial.keep_checkpoint or trial.resume_from
    return "" if alone else f"{config_hash(trial.params)}-{trial.epochs}"
