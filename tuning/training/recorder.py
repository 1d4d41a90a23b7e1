"""Callback that measures and reports every epoch, and keeps the best weights."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.core.errors import FatalTrialError
from tuning.core.names import storable_metric
from tuning.core.trial import Decision, Measurement
from tuning.study.sections import Objective
from tuning.training import callback_states
from tuning.training.checkpoint import Checkpointer, TrainingProgress

if TYPE_CHECKING:
    import keras

Report = Callable[[Measurement], Decision]


@dataclass(eq=False)
class EpochRecorder:
    """Reports every epoch and keeps the weights of the best epoch.

    Args:
        model: Model that is trained.
        objective: Objective by which the best epoch is chosen.
        report: Function that is called after every epoch; its decision takes effect at once.
        progress: Progress of the training, which the recorder updates.
        checkpointer: Writer of the checkpoints.
        epochs: Number of the last epoch.
        patience: Number of epochs without improvement after which the training ends.
        others: Callbacks of the task, which run before the recorder.

    Attributes:
        stopped: Whether a decision ended the training before its last epoch.
        diverged: Description of the loss or objective that is not finite and ends the training;
            empty if they are finite.
    """

    model: "keras.Model"
    objective: Objective
    report: Report
    progress: TrainingProgress
    checkpointer: Checkpointer
    epochs: int
    patience: int
    others: "Sequence[keras.callbacks.Callback]" = ()
    stopped: bool = field(default=False, init=False)
    diverged: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._origin = self._epoch_started = time.monotonic() - self.progress.elapsed_s

    @property
    def elapsed_s(self) -> float:
        """Seconds of training, including the time before an interruption."""
        return time.monotonic() - self._origin

    def callbacks(self) -> "list[keras.callbacks.Callback]":
        """Returns the task's callbacks and the recorder's, in the order in which they run."""
        import keras

        recorder = keras.callbacks.LambdaCallback(
            on_train_begin=self._begin_training,
            on_epoch_begin=self._begin_epoch,
            on_epoch_end=self._end_epoch,
        )
        return [*self.others, recorder]

    def _begin_training(self, logs: object = None) -> None:
        # The task's callbacks have just set their counters to 0.
        callback_states.restore(self.others, self.progress.callbacks)

    def _begin_epoch(self, epoch: int, logs: object = None) -> None:
        self.progress.restore_random()
        self._epoch_started = time.monotonic()

    def _end_epoch(self, epoch: int, logs: Mapping[str, Any]) -> None:
        # Not by Keras's number of the epoch: a loop of the task's own may begin at 0 again.
        now, step = time.monotonic(), self.progress.last_step + 1
        metrics = numbers_of(logs)
        value = self._objective_of(metrics)
        # Another metric that is not finite, such as 0/0 in the first epoch, is only left out.
        for name in ("loss", self.objective.metric):
            if not math.isfinite(metrics.get(name, 0.0)):
                self.diverged = f"diverged: {name} is {metrics[name]} at epoch {step}"
                self.model.stop_training = True
                return
        metrics = {name: number for name, number in metrics.items() if math.isfinite(number)}
        progress = self.progress
        if self.objective.better(value, progress.best_value):
            progress.best_value, progress.best_step = value, step
            progress.best_weights = self.model.get_weights()
        metrics["epoch_seconds"] = now - self._epoch_started
        measurement = Measurement(step=step, metrics=metrics, elapsed_s=now - self._origin)
        progress.measurements.append(measurement)
        progress.callbacks = callback_states.read(self.others)
        progress.ended = bool(self.model.stop_training)
        # Before the report, so that a reported epoch is trained again only if its checkpoint would
        # have taken too much time.
        self.checkpointer.write(self.model, progress)
        self.stopped = self.report(measurement).stop and step < self.epochs
        is_last = step >= self.epochs or step - (progress.best_step or 0) >= self.patience
        if self.stopped or is_last:
            self.model.stop_training = True

    def _objective_of(self, metrics: Mapping[str, float]) -> float:
        name = self.objective.metric
        if name not in metrics:
            # The study names a wrong metric, so every trial would fail.
            raise FatalTrialError(
                f"the objective {name!r} is not among the metrics that Keras reports: "
                f"{', '.join(sorted(metrics))}; correct objective.metric"
            )
        return metrics[name]


def numbers_of(logs: Mapping[str, Any]) -> dict[str, float]:
    """Returns Keras's metrics as numbers; of a metric with several values, one per value.

    The values of ``f1_score`` become ``f1_score_0``, ``f1_score_1`` and so on. The names are those
    that MLflow can store.
    """
    numbers: dict[str, float] = {}
    for keras_name, value in logs.items():
        name = storable_metric(keras_name)
        values = np.asarray(value, dtype=float).reshape(-1)
        if values.size == 1:
            numbers[name] = float(values[0])
        else:
            numbers |= {f"{name}_{index}": float(each) for index, each in enumerate(values)}
    return numbers
