"""Executor that simulates trials in virtual time, for tests and for estimates of scaling."""

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from tuning.core.interfaces import Finished, Measured
from tuning.core.seeds import derive_seed
from tuning.core.trial import (
    Decision,
    Failure,
    FailureKind,
    Measurement,
    Trial,
    TrialResult,
    TrialState,
)
from tuning.study.sections import Objective

_Handler = Callable[[], list[Measured | Finished]]


class TrialModel(Protocol):
    """Model of a training: the values and durations of its epochs."""

    def value(self, trial: Trial, epoch: int) -> float:
        """Returns the objective after an epoch.

        Args:
            trial: Trial that is simulated.
            epoch: Number of the epoch, from 1. The value depends on trial and epoch only.
        """
        ...

    def seconds(self, trial: Trial) -> float:
        """Returns the seconds per epoch on a worker of speed 1."""
        ...


@dataclass
class _LiveTrial:
    trial: Trial
    speed: float
    inherited: int
    measurements: list[Measurement]
    began_s: float
    over: bool = False


class SimulatedExecutor:
    """Executor that trains nothing: each call of ``poll`` advances virtual time to the next event.

    Args:
        model: Model of the values and durations of the epochs.
        workers: Number of trials that run at once.
        objective: Objective that the values of ``model`` stand for.
        speeds: Speeds of the workers, taken in turn; a worker of speed 0.5 takes twice as long.
        loss_rate: Probability per epoch that the worker of a trial dies.
        seed: Seed of these deaths.
        driver_clock: Clock of the real driver, in seconds. The time that the driver spends
            between two calls of ``poll`` passes in virtual time too. None for a driver that takes
            no time.

    Attributes:
        busy_s: Virtual seconds that all workers together spent on epochs that ended.
        delays_s: Virtual seconds that each event waited until the driver polled.
    """

    def __init__(
        self,
        model: TrialModel,
        workers: int,
        *,
        objective: Objective | None = None,
        speeds: Sequence[float] = (1.0,),
        loss_rate: float = 0.0,
        seed: int = 0,
        driver_clock: Callable[[], float] | None = None,
    ) -> None:
        self._model = model
        self._objective = objective or Objective()
        self._speeds = [speeds[number % len(speeds)] for number in range(workers)]
        self._loss_rate = loss_rate
        self._seed = seed
        self._now = 0.0
        self._order = itertools.count()
        self._events: list[tuple[float, int, _LiveTrial, _Handler]] = []
        self._live: dict[str, _LiveTrial] = {}
        self._checkpoints: dict[str, list[Measurement]] = {}
        self._driver_clock = driver_clock or (lambda: 0.0)
        self._poll_ended = self._driver_clock()
        self.busy_s = 0.0
        self.delays_s: list[float] = []

    @property
    def slots(self) -> int:
        """Number of trials that can run at once."""
        return len(self._speeds) + len(self._live)

    @property
    def free_slots(self) -> int:
        """Number of trials that can be submitted now."""
        return len(self._speeds)

    def clock(self) -> float:
        """Returns the virtual seconds since the start; the clock for the simulated driver."""
        return self._now

    def submit(self, trial: Trial) -> None:
        """Starts a trial on the fastest free worker."""
        if not self._speeds:
            raise RuntimeError("no slot is free")
        speed = max(self._speeds)
        self._speeds.remove(speed)
        inherited = self._checkpoints.get(trial.resume_from or "", [])
        live = _LiveTrial(trial, speed, len(inherited), [*inherited], self._now)
        self._live[trial.name] = live
        # A real worker reports the epochs before its checkpoint again.
        for measurement in inherited:
            self._at(live, self._now, partial(self._measured, live, measurement))
        self._next(live)

    def poll(self, timeout_s: float) -> Sequence[Measured | Finished]:
        """Advances virtual time to the next event and returns it; ignores the timeout."""
        self._now += self._driver_clock() - self._poll_ended
        try:
            while self._events:
                time_s, _, live, handler = heapq.heappop(self._events)
                self._now = max(self._now, time_s)
                if not live.over and (events := handler()):
                    self.delays_s.append(self._now - time_s)
                    return events
            return []
        finally:
            self._poll_ended = self._driver_clock()

    def reply(self, name: str, decision: Decision) -> None:
        """Ends the trial at the present virtual time if the decision is to stop."""
        live = self._live.get(name)
        if live is not None and decision.stop and len(live.measurements) < live.trial.epochs:
            self._finish(live, TrialState.PRUNED)

    def cancel(self, name: str, reason: str) -> None:
        """Ends the trial at the present virtual time."""
        if (live := self._live.get(name)) is not None:
            self._finish(live, TrialState.INTERRUPTED)

    def close(self) -> None:
        """Removes all events and running trials."""
        self._events.clear()
        self._live.clear()

    def _at(self, live: _LiveTrial, time_s: float, handler: _Handler) -> None:
        """Schedules a handler; it is not called if the trial has finished before."""
        heapq.heappush(self._events, (time_s, next(self._order), live, handler))

    def _measured(self, live: _LiveTrial, measurement: Measurement) -> list[Measured | Finished]:
        trial = live.trial
        return [Measured(name=trial.name, attempt=trial.attempt, measurement=measurement)]

    def _next(self, live: _LiveTrial) -> None:
        trial = live.trial
        step = len(live.measurements) + 1
        if step > trial.epochs:
            self._finish(live, TrialState.COMPLETED)
            return
        seconds = self._model.seconds(trial) / live.speed
        generator = random.Random(derive_seed(self._seed, trial.name, trial.attempt, step))
        dies = generator.random() < self._loss_rate

        def end() -> list[Measured | Finished]:
            self.busy_s += seconds
            if dies:
                failure = Failure(kind=FailureKind.WORKER_LOST, message="the worker died")
                self._finish(live, TrialState.FAILED, failure)
                return []
            value = self._model.value(trial, step)
            own_s = self._now - live.began_s
            offset_s = live.measurements[live.inherited - 1].elapsed_s if live.inherited else 0.0
            measurement = Measurement(
                step=step,
                metrics={self._objective.metric: value, "epoch_seconds": seconds},
                elapsed_s=offset_s + own_s,
            )
            live.measurements.append(measurement)
            self._next(live)
            return self._measured(live, measurement)

        self._at(live, self._now + seconds, end)

    def _finish(self, live: _LiveTrial, state: TrialState, failure: Failure | None = None) -> None:
        """Schedules the end of a trial after all events of the present virtual time."""
        self._at(live, self._now, partial(self._end, live, state, failure))

    def _end(
        self, live: _LiveTrial, state: TrialState, failure: Failure | None
    ) -> list[Measured | Finished]:
        trial = live.trial
        live.over = True
        self._speeds.append(live.speed)
        del self._live[trial.name]
        if trial.keep_checkpoint:
            self._checkpoints[trial.name] = live.measurements
        values = [m.metrics[self._objective.metric] for m in live.measurements]
        best = min(values, key=self._objective.key, default=None)
        result = TrialResult(
            state=state,
            value=best,
            best_step=None if best is None else values.index(best) + 1,
            measurements=tuple(live.measurements),
            duration_s=self._now - live.began_s,
            failure=failure,
            inherited=live.inherited,
        )
        return [Finished(name=trial.name, attempt=trial.attempt, result=result)]
