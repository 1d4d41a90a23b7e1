"""The early end of a search: its time is over, or its trials bring no more gain."""

import time
from collections.abc import Callable, Sequence

from tuning.core.trial import Phase, TrialRecord, TrialState
from tuning.study.sections import Objective


class SearchLimit:
    """Ends the search early; it does not affect the confirmation and the comparison.

    Args:
        objective: Objective in which a gain is measured.
        deadline: Time of ``clock`` at which the whole study has to be finished; None for no limit.
        reserve: Function that estimates the seconds that the study needs after the search, from
            the trials that have ended. The search ends this long before the deadline.
        plateau_trials: Number of trials in a row without a gain after which the search ends; None
            for no such rule.
        plateau_gain: Threshold of a gain: the objective must improve by more than this.
        clock: Function that returns seconds since an arbitrary origin.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        deadline: float | None = None,
        reserve: Callable[[Sequence[TrialRecord]], float] = lambda ended: 0.0,
        plateau_trials: int | None = None,
        plateau_gain: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._objective = objective
        self._deadline = deadline
        self._reserve = reserve
        self._plateau_trials = plateau_trials
        self._plateau_gain = plateau_gain
        self._clock = clock
        self._ended_trials: dict[str, TrialRecord] = {}
        self._reserve_s: float | None = None
        self._best: float | None = None
        self._without_gain = 0
        self._out_of_time = False
        self._end_reason = ""

    def end(self, reason: str) -> None:
        """Ends the search now."""
        self._end_reason = reason

    def learn(self, record: TrialRecord) -> None:
        """Learns the end of a trial of any phase; ignores interrupted trials."""
        result = record.result
        if result.state is TrialState.INTERRUPTED:
            return
        self._ended_trials[record.trial.name] = record
        self._reserve_s = None
        if record.trial.phase is not Phase.SEARCH:
            return
        if result.state is TrialState.PRUNED:
            self._without_gain += 1
        if result.state is not TrialState.COMPLETED or result.value is None:
            return
        if self._is_gain(result.value):
            self._best, self._without_gain = result.value, 0
        else:
            self._without_gain += 1

    def out_of_time(self) -> str:
        """Returns why running search trials must end after their epoch; empty if they need not."""
        if not self._out_of_time and self._deadline is not None:
            # The search must not begin again if a later estimate is lower.
            self._out_of_time = self._clock() >= self._deadline - self._reserved()
        return "the time for the search is over" if self._out_of_time else ""

    def over(self) -> str:
        """Returns why no search trial may begin; empty if one may begin."""
        if self._end_reason:
            return self._end_reason
        if self._plateau_trials is not None and self._without_gain >= self._plateau_trials:
            above = f" above {self._plateau_gain:g}" if self._plateau_gain else ""
            return f"no gain{above} in the last {self._without_gain} trials"
        return self.out_of_time()

    def _reserved(self) -> float:
        if self._reserve_s is None:
            self._reserve_s = self._reserve([*self._ended_trials.values()])
        return self._reserve_s

    def _is_gain(self, value: float) -> bool:
        if self._best is None:
            return True
        # The tolerance covers rounding errors: 0.4 - 0.3 is slightly more than 0.1.
        gain = self._objective.key(self._best) - self._objective.key(value)
        return gain > self._plateau_gain + 1e-12
