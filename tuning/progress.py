"""Tells people at a terminal, or in a log, how far a study is."""

import contextlib
import sys
import time
from collections.abc import Callable
from typing import TextIO

from tuning.study import Objective
from tuning.trial import Measurement, Phase, Trial, TrialResult, TrialState

STATUS_SECONDS = 30.0


class Progress:
    """A TrialListener that prints a line for each finished trial, and now and then what runs.

    Args:
        objective: What is searched for.
        stream: Where to print.
        clock: Seconds from any origin.
    """

    def __init__(
        self,
        objective: Objective,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._objective = objective
        self._stream = stream or sys.stdout
        self._clock = clock
        self._started = self._printed = clock()
        self._expected = 0
        self._ended = self._done = 0
        self._best: float | None = None
        self._best_name = ""
        self._epochs: dict[str, str] = {}

    def phase(self, title: str, expected: int, done: int = 0) -> None:
        """Begins a phase of an expected number of trials, of which some are done already."""
        self._expected, self._ended, self._done = expected, done, done
        self._started = self._printed = self._clock()
        self.say(f"\n{title}")

    def say(self, text: str) -> None:
        """Prints a line at once; a study does not end because nobody reads it any more."""
        with contextlib.suppress(OSError):
            print(text, file=self._stream, flush=True)

    def trial_started(self, trial: Trial) -> None:
        """Remembers that it runs."""
        self._epochs[trial.name] = f"0/{trial.epochs}"

    def measured(self, trial: Trial, measurement: Measurement) -> None:
        """Prints what runs, if nothing was printed for a while."""
        self._epochs[trial.name] = f"{measurement.step}/{trial.epochs}"
        if self._clock() - self._printed >= STATUS_SECONDS:
            running = ", ".join(f"{name} epoch {at}" for name, at in self._epochs.items())
            self._line(f"  …  running: {running}")

    def trial_finished(self, trial: Trial, result: TrialResult) -> None:
        """Prints how it ended."""
        self._epochs.pop(trial.name, None)
        self._ended += 1
        mark = ""
        if (
            trial.phase is Phase.SEARCH
            and result.state is TrialState.COMPLETED
            and result.value is not None
            and self._objective.better(result.value, self._best)
        ):
            self._best, self._best_name, mark = result.value, trial.name, "  best so far"
        value = "–" if result.value is None else f"{result.value:.4f}"
        text = f"{trial.name:<32} {_state(result):<12} {self._objective.metric} {value}"
        self._line(f"  {self._ended:>3}/{self._expected}  {text}{self._left()}{mark}")
        if result.failure is not None:
            self._line(f"         {result.failure.message.splitlines()[0]}")

    def _left(self) -> str:
        elapsed = self._clock() - self._started
        left = elapsed / (self._ended - self._done) * max(0, self._expected - self._ended)
        return f"  {duration(elapsed)} gone, about {duration(left)} left"

    def _line(self, text: str) -> None:
        self._printed = self._clock()
        self.say(text)


def _state(result: TrialResult) -> str:
    if result.reused_from:
        return "reused"
    epochs = len(result.measurements)
    if result.state is TrialState.PRUNED:
        return f"pruned at {epochs}"
    return result.state.value


def duration(seconds: float) -> str:
    """Seconds as people write them: ``1:05`` or ``2:03:10``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
