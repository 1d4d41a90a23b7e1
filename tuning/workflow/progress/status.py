"""The status of a running study, which every form of progress output shows."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tuning.core.trial import Measurement, Phase, Trial, TrialResult, TrialState
from tuning.study.sections import Objective


@dataclass
class Running:
    """A trial that is being trained, or that waits for the result of a duplicate."""

    name: str
    epochs: int
    began: float
    epoch: int = 0
    value: float | None = None


@dataclass(frozen=True)
class Best:
    """The best value of a searcher so far."""

    value: float
    trial: str


class Status:
    """Counts of trials, running trials and best values. Other threads hold ``lock`` to read it.

    Args:
        objective: Objective of the search.
        clock: Clock that returns seconds from any origin.
    """

    def __init__(self, objective: Objective, clock: Callable[[], float] = time.monotonic) -> None:
        self.objective = objective
        self.lock = threading.RLock()
        self.expected = self.ended = 0
        self.running: dict[str, Running] = {}
        self.states: Counter[str] = Counter()
        self.best: dict[str, Best] = {}
        self.baseline: list[float] = []
        self._clock = clock
        self._began = clock()
        self._done_before = 0

    def phase(self, expected: int, done: int) -> None:
        """Begins a phase of ``expected`` trials, ``done`` of which have already ended."""
        with self.lock:
            self.expected = expected
            self.ended = self._done_before = done
            self._began = self._clock()

    def expect(self, trials: int) -> None:
        """Adds to the number of expected trials; a negative number lowers it."""
        with self.lock:
            self.expected += trials

    def started(self, trial: Trial) -> None:
        """Notes that an attempt of a trial began."""
        with self.lock:
            self.running[trial.name] = Running(trial.name, trial.epochs, self._clock())

    def measured(self, trial: Trial, measurement: Measurement) -> None:
        """Notes that an epoch of a trial ended."""
        with self.lock:
            running = self.running[trial.name]
            running.epoch = measurement.step
            running.value = measurement.metrics.get(self.objective.metric)

    def finished(self, trial: Trial, result: TrialResult) -> bool:
        """Notes that a trial ended. Returns whether it is the best of the whole search so far."""
        with self.lock:
            self.running.pop(trial.name, None)
            self.ended += 1
            self.states["reused" if result.reused_from else result.state.value] += 1
            if result.state is not TrialState.COMPLETED or result.value is None:
                return False
            if trial.phase is Phase.BASELINE:
                self.baseline.append(result.value)
            if trial.phase is not Phase.SEARCH:
                return False
            before = [best.value for best in self.best.values()]
            own = self.best.get(trial.searcher)
            if self.objective.better(result.value, own.value if own else None):
                self.best[trial.searcher] = Best(result.value, trial.name)
            return all(self.objective.better(result.value, value) for value in before)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the phase began."""
        return self._clock() - self._began

    @property
    def left_s(self) -> float | None:
        """Estimated seconds until the phase ends; None before a first trial has ended."""
        ended = self.ended - self._done_before
        return self.elapsed_s / ended * max(0, self.expected - self.ended) if ended else None

    def times(self) -> str:
        """Returns the elapsed and the remaining time as text."""
        left_s = self.left_s
        remaining = "" if left_s is None else f", about {duration(left_s)} left"
        return f"{duration(self.elapsed_s)} elapsed{remaining}"

    def seconds_of(self, running: Running) -> float:
        """Returns the seconds since the present attempt of the trial began."""
        return self._clock() - running.began


def duration(seconds: float) -> str:
    """Formats seconds as ``1:05`` or ``2:03:10``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def ending(result: TrialResult) -> str:
    """Returns how a trial ended, for example ``completed`` or ``pruned at 3`` (epochs)."""
    if result.reused_from:
        return "reused"
    if result.state is TrialState.PRUNED:
        return f"pruned at {len(result.measurements)}"
    return result.state.value
