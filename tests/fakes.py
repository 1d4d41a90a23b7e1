"""Stand-ins that hold the same contracts as the real parts; ``tests/contract`` tests them too."""

from collections import deque
from collections.abc import Callable, Sequence

from tests.factories import make_measurement
from tuning.core.interfaces import Finished, Measured
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

Curve = Callable[[Trial], Sequence[float] | Failure]


class FakeExecutor:
    """Trains nothing: values by epoch come from ``curve``, one event a poll, slots in turn."""

    def __init__(self, curve: Curve, slots: int = 2) -> None:
        self._curve = curve
        self._slots = slots
        self._live: dict[str, tuple[Trial, list[Measurement]]] = {}
        self._decisions: dict[str, Decision] = {}
        self._events: deque[Measured | Finished] = deque()
        self.closed = False
        self.submitted: list[Trial] = []

    @property
    def slots(self) -> int:
        return self._slots

    @property
    def free_slots(self) -> int:
        return self._slots - len(self._live)

    def submit(self, trial: Trial) -> None:
        if not self.free_slots:
            raise RuntimeError("no slot is free")
        self.submitted.append(trial)
        self._live[trial.name] = (trial, [])

    def poll(self, timeout_s: float) -> Sequence[Measured | Finished]:
        if self._events:
            return [self._events.popleft()]
        if not self._live:
            return []
        name = min(self._live, key=lambda name: (len(self._live[name][1]), name))
        return [self._advance(*self._live[name])]

    def reply(self, name: str, decision: Decision) -> None:
        if name in self._live:
            self._decisions[name] = decision

    def cancel(self, name: str, reason: str) -> None:
        if name in self._live:
            trial, done = self._live.pop(name)
            result = TrialResult(state=TrialState.INTERRUPTED, measurements=tuple(done))
            self._events.append(Finished(name=name, attempt=trial.attempt, result=result))

    def close(self) -> None:
        self.closed = True

    def _advance(self, trial: Trial, done: list[Measurement]) -> Measured | Finished:
        curve = self._curve(trial)
        if isinstance(curve, Failure):
            return self._end(trial, done, failure=curve)
        stopped = self._decisions.get(trial.name, CONTINUE).stop
        if stopped or len(done) == min(len(curve), trial.epochs):
            return self._end(trial, done, pruned=stopped and len(done) < trial.epochs)
        done.append(make_measurement(len(done) + 1, curve[len(done)]))
        return Measured(name=trial.name, attempt=trial.attempt, measurement=done[-1])

    def _end(
        self,
        trial: Trial,
        done: list[Measurement],
        pruned: bool = False,
        failure: Failure | None = None,
    ) -> Finished:
        del self._live[trial.name]
        self._decisions.pop(trial.name, None)
        state = TrialState.PRUNED if pruned else TrialState.COMPLETED
        values = [m.metrics["val_accuracy"] for m in done]
        result = TrialResult(
            state=TrialState.FAILED if failure else state,
            value=max(values, default=None),
            best_step=values.index(max(values)) + 1 if values else None,
            measurements=tuple(done),
            failure=failure,
        )
        return Finished(name=trial.name, attempt=trial.attempt, result=result)


class RecordingListener:
    """Remembers what the driver said, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.results: dict[str, TrialResult] = {}
        self.trials: dict[str, Trial] = {}

    def trial_started(self, trial: Trial) -> None:
        self.events.append(("started", trial.name))
        self.trials[trial.name] = trial

    def measured(self, trial: Trial, measurement: Measurement) -> None:
        self.events.append((f"epoch {measurement.step}", trial.name))

    def trial_finished(self, trial: Trial, result: TrialResult) -> None:
        self.events.append(("finished", trial.name))
        self.results[trial.name] = result


def lost(message: str = "the worker process died") -> Failure:
    return Failure(kind=FailureKind.WORKER_LOST, message=message)
