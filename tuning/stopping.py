"""When a search ends before its trials are spent: out of time, or out of progress."""

import time
from collections.abc import Callable

from tuning.study import Objective
from tuning.trial import TrialResult, TrialState


class SearchLimit:
    """Ends the search; what is confirmed and compared afterwards is not its affair.

    Args:
        objective: By which a trial is a gain.
        deadline: Gives the clock's time at which the search ends, as it is estimated now; None for
            no limit.
        plateau_trials: The search ends after so many trials in a row without a gain; None for no
            such rule.
        plateau_gain: What counts as a gain, in units of the objective: more than this.
        clock: Seconds from any origin.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        deadline: Callable[[], float] | None = None,
        plateau_trials: int | None = None,
        plateau_gain: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._objective = objective
        self._deadline = deadline
        self._plateau_trials = plateau_trials
        self._plateau_gain = plateau_gain
        self._clock = clock
        self._best: float | None = None
        self._without_gain = 0
        self._late = False
        self._ended = ""

    def end(self, reason: str) -> None:
        """Ends the search now."""
        self._ended = reason

    def learn(self, result: TrialResult) -> None:
        """Learns the end of a search trial. Interrupted and failed ones say nothing."""
        if result.state is TrialState.PRUNED:
            self._without_gain += 1
        if result.state is not TrialState.COMPLETED or result.value is None:
            return
        if self._gains(result.value):
            self._best, self._without_gain = result.value, 0
        else:
            self._without_gain += 1

    def out_of_time(self) -> str:
        """Why running search trials have to end after their epoch; empty if they have not."""
        if not self._late and self._deadline is not None:
            # An estimate that is corrected later must not begin the search again.
            self._late = self._clock() >= self._deadline()
        return "the time for the search is over" if self._late else ""

    def over(self) -> str:
        """Why no search trial is to be begun; empty if one may."""
        if self._ended:
            return self._ended
        if self._plateau_trials is not None and self._without_gain >= self._plateau_trials:
            above = f" above {self._plateau_gain:g}" if self._plateau_gain else ""
            return f"no gain{above} in the last {self._without_gain} trials"
        return self.out_of_time()

    def _gains(self, value: float) -> bool:
        if self._best is None:
            return True
        # Of two equal gains, 0.1 and 0.3 - 0.2, neither is above the other.
        gain = self._objective.key(self._best) - self._objective.key(value)
        return gain > self._plateau_gain + 1e-12
