"""Trials in virtual time: for tests, and to see how a study scales without training anything."""

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tuning.core.interfaces import Finished, Measured
from tuning.core.seeds import derive_seed
from tuning.core.trial import (
    CONTINUE,
    Decision,
    Failure,
    FailureKind,
    Measurement,
    Trial,
    TrialResult,
    TrialState,
)
from tuning.study.sections import Objective


class TrialModel(Protocol):
    """What a training would be like."""

    def value(self, trial: Trial, epoch: int) -> float:
        """The objective after an epoch, from 1. A function of trial and epoch alone."""
        ...

    def seconds(self, trial: Trial) -> float:
        """Seconds of an epoch on a worker of speed 1."""
        ...


@dataclass
class _Simulated:
    trial: Trial
    speed: float
    first_epoch: int
    measurements: list[Measurement]
    began_s: float
    stop: Decision = field(default=CONTINUE)
    over: bool = False


class SimulatedExecutor:
    """Trains nothing; epochs end in virtual time, which passes while it is polled.

    Args:
        model: Values and costs.
        workers: How many trials run at once.
        objective: What the model's values are.
        speeds: Of the workers, in turn; a worker of speed 0.5 takes twice as long.
        loss_rate: Chance by which a trial's worker dies during an epoch.
        seed: Of these deaths.
        driver_clock: Its seconds pass in virtual time too while nobody polls, as if the driver
            worked beside the workers; None for a driver that takes no time.

    Attributes:
        busy_s: Virtual seconds in which workers trained, of all together.
        delays_s: Virtual seconds that each event waited for the driver.
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
        self._events: list[tuple[float, int, Callable[[], list[Measured | Finished]]]] = []
        self._live: dict[str, _Simulated] = {}
        self._kept: dict[str, list[Measurement]] = {}
        self._driver_clock = driver_clock or (lambda: 0.0)
        self._polled = self._driver_clock()
        self.busy_s = 0.0
        self.delays_s: list[float] = []

    @property
    def slots(self) -> int:
        """How many trials run at once."""
        return len(self._speeds) + len(self._live)

    @property
    def free_slots(self) -> int:
        """How many trials can be submitted now."""
        return len(self._speeds)

    def clock(self) -> float:
        """Virtual seconds since the beginning; to be the driver's clock."""
        return self._now

    def submit(self, trial: Trial) -> None:
        """Starts a trial on the fastest free worker."""
        if not self._speeds:
            raise RuntimeError("no slot is free")
        speed = max(self._speeds)
        self._speeds.remove(speed)
        before = self._kept.get(trial.resume_from or "", [])
        live = _Simulated(trial, speed, len(before), [*before], self._now)
        self._live[trial.name] = live
        # What was trained before is reported again, as a worker does.
        for measurement in before:
            self._at(self._now, self._measured(live, measurement))
        self._next(live)

    def poll(self, timeout_s: float) -> Sequence[Measured | Finished]:
        """Goes on to the next event, however far away it is."""
        self._now += self._driver_clock() - self._polled
        try:
            while self._events:
                time_s, _, happen = heapq.heappop(self._events)
                self._now = max(self._now, time_s)
                if events := happen():
                    self.delays_s.append(self._now - time_s)
                    return events
            return []
        finally:
            self._polled = self._driver_clock()

    def reply(self, name: str, decision: Decision) -> None:
        """Ends the trial now if the decision says so."""
        live = self._live.get(name)
        if live is not None and decision.stop and len(live.measurements) < live.trial.epochs:
            self._finish(live, TrialState.PRUNED)

    def cancel(self, name: str, reason: str) -> None:
        """Ends the trial now."""
        if (live := self._live.get(name)) is not None:
            self._finish(live, TrialState.INTERRUPTED)

    def close(self) -> None:
        """Forgets everything."""
        self._events.clear()
        self._live.clear()

    def _at(self, time_s: float, happen: Callable[[], list[Measured | Finished]]) -> None:
        heapq.heappush(self._events, (time_s, next(self._order), happen))

    def _measured(
        self, live: _Simulated, measurement: Measurement
    ) -> Callable[[], list[Measured | Finished]]:
        trial = live.trial
        event = Measured(name=trial.name, attempt=trial.attempt, measurement=measurement)
        return lambda: [] if live.over else [event]

    def _next(self, live: _Simulated) -> None:
        trial = live.trial
        step = len(live.measurements) + 1
        if step > trial.epochs:
            self._finish(live, TrialState.COMPLETED)
            return
        seconds = self._model.seconds(trial) / live.speed
        chance = random.Random(derive_seed(self._seed, trial.name, trial.attempt, step))
        dies = chance.random() < self._loss_rate

        def end() -> list[Measured | Finished]:
            if live.over:
                return []
            self.busy_s += seconds
            if dies:
                failure = Failure(kind=FailureKind.WORKER_LOST, message="the worker is gone")
                self._finish(live, TrialState.FAILED, failure)
                return []
            value = self._model.value(trial, step)
            trained = self._now - live.began_s
            before = live.measurements[live.first_epoch - 1].elapsed_s if live.first_epoch else 0.0
            measurement = Measurement(
                step=step,
                metrics={self._objective.metric: value, "epoch_seconds": seconds},
                elapsed_s=before + trained,
            )
            live.measurements.append(measurement)
            self._next(live)
            return [Measured(name=trial.name, attempt=trial.attempt, measurement=measurement)]

        self._at(self._now + seconds, end)

    def _finish(self, live: _Simulated, state: TrialState, failure: Failure | None = None) -> None:
        """Schedules the end, after whatever happens at this time already."""

        def end() -> list[Measured | Finished]:
            if live.over:
                return []
            live.over = True
            self._speeds.append(live.speed)
            del self._live[live.trial.name]
            return [
                Finished(
                    name=live.trial.name,
                    attempt=live.trial.attempt,
                    result=self._result(live, state, failure),
                )
            ]

        self._at(self._now, end)

    def _result(self, live: _Simulated, state: TrialState, failure: Failure | None) -> TrialResult:
        values = [m.metrics[self._objective.metric] for m in live.measurements]
        best = min(values, key=self._objective.key, default=None)
        if live.trial.keep_checkpoint:
            self._kept[live.trial.name] = live.measurements
        return TrialResult(
            state=state,
            value=best,
            best_step=None if best is None else values.index(best) + 1,
            measurements=tuple(live.measurements),
            duration_s=self._now - live.began_s,
            failure=failure,
            inherited=live.first_epoch,
        )
