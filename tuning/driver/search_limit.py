"""When a search ends before its trials are spent: out of time, or out of progress."""

import time
from collections.abc import Callable, Sequence

from tuning.core.trial import Phase, TrialRecord, TrialState
from tuning.study.sections import Objective


class SearchLimit:
    """Ends the search; it has no say in what is confirmed and compared afterwards.

    Args:
        objective: The objective by which a trial is a gain.
        deadline: The clock's time at which the whole study has to be done; None for no limit.
        reserve: Estimates, from the trials that have ended, the seconds that the study needs after
            its search; the search ends so many seconds before the deadline.
        plateau_trials: The search ends after so many trials in a row without a gain; None for no
            such rule.
        plateau_gain: A gain is more than this, in units of the objective.
        clock: Seconds from any origin.
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
        self._ended_because = ""

    def end(self, reason: str) -> None:
        """Ends the search now."""
        self._ended_because = reason

    def learn(self, record: TrialRecord) -> None:
        """Learns the end of a trial of any phase. Interrupted trials say nothing."""
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
        """Why running search trials have to end after their epoch; empty if they do not."""
        if not self._out_of_time and self._deadline is not None:
            # An estimate that is corrected later must not begin the search again.
            self._out_of_time = self._clock() >= self._deadline - self._reserved()
        return "the time for the search is over" if self._out_of_time else ""

    def over(self) -> str:
        """Why no search trial may begin; empty if one may."""
        if self._ended_because:
            return self._ended_because
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
        # Of two equal gains, 0.1 and 0.3 - 0.2, neither is above the other.
        gain = self._objective.key(self._best) - self._objective.key(value)
        return gain > self._plateau_gain + 1e-12
