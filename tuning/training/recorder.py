"""Callback that measures and reports every epoch, and keeps the best weights."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuning.core.errors import FatalTrialError
from tuning.core.trial import Decision, Measurement
from tuning.study.sections import Objective
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

    Attributes:
        stopped: Whether a decision ended the training before its last epoch.
        diverged: Description of a metric that is not finite and ends the training; empty if all
            metrics are finite.
    """

    model: "keras.Model"
    objective: Objective
    report: Report
    progress: TrainingProgress
    checkpointer: Checkpointer
    epochs: int
    patience: int
    stopped: bool = field(default=False, init=False)
    diverged: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._origin = self._epoch_started = time.monotonic() - self.progress.elapsed_s

    @property
    def elapsed_s(self) -> float:
        """Seconds of training, including the time before an interruption."""
        return time.monotonic() - self._origin

    def callback(self) -> "keras.callbacks.Callback":
        """Returns the Keras callback of this recorder."""
        import keras

        return keras.callbacks.LambdaCallback(
            on_epoch_begin=self._begin_epoch, on_epoch_end=self._end_epoch
        )

    def _begin_epoch(self, epoch: int, logs: object = None) -> None:
        self.progress.restore_random()
        self._epoch_started = time.monotonic()

    def _end_epoch(self, epoch: int, logs: Mapping[str, Any]) -> None:
        now, step = time.monotonic(), epoch + 1
        metrics = {name: float(value) for name, value in logs.items()}
        value = self._objective_of(metrics)
        names = sorted(name for name, number in metrics.items() if not math.isfinite(number))
        if names:
            self.diverged = f"diverged: {names[0]} is {metrics[names[0]]} at epoch {step}"
            self.model.stop_training = True
            return
        progress = self.progress
        if self.objective.better(value, progress.best_value):
            progress.best_value, progress.best_step = value, step
            progress.best_weights = self.model.get_weights()
        metrics["epoch_seconds"] = now - self._epoch_started
        measurement = Measurement(step=step, metrics=metrics, elapsed_s=now - self._origin)
        progress.measurements.append(measurement)
        # Before the report, so that a reported epoch is trained again only if its checkpoint would
        # have taken too much time.
        self.checkpointer.write(self.model, progress)
        self.stopped = self.report(measurement).stop and step < self.epochs
        if self.stopped or step - (progress.best_step or 0) >= self.patience:
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
