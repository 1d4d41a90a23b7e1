"""What happens after each epoch of a training: measured, kept, saved, reported, obeyed."""

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tuning.core.errors import FatalTrialError
from tuning.core.trial import Decision, Measurement
from tuning.study.sections import Objective
from tuning.training.checkpoint import Checkpointer, TrainingProgress

if TYPE_CHECKING:
    import keras

Report = Callable[[Measurement], Decision]


class EpochRecorder:
    """Reports every epoch and remembers the weights of the best one.

    Args:
        model: The model that is trained.
        objective: The objective by which the best epoch is chosen.
        report: Called after every epoch; its decision is obeyed at once.
        progress: How far the training has come; kept up to date.
        checkpointer: Writes the checkpoints.
        epochs: The last epoch.
        patience: Epochs in a row without a better one, after which the training ends.

    Attributes:
        stopped: Whether a decision ended the training before its last epoch.
        diverged: Why the training cannot go on, in words; empty if it can.
    """

    def __init__(
        self,
        model: "keras.Model",
        objective: Objective,
        report: Report,
        progress: TrainingProgress,
        checkpointer: Checkpointer,
        epochs: int,
        patience: int,
    ) -> None:
        self.stopped = False
        self.diverged = ""
        self._model = model
        self._objective = objective
        self._report = report
        self._progress = progress
        self._checkpointer = checkpointer
        self._epochs = epochs
        self._patience = patience
        self._origin = self._epoch_started = time.monotonic() - progress.elapsed_s

    @property
    def elapsed_s(self) -> float:
        """Seconds of training, those before an interruption included."""
        return time.monotonic() - self._origin

    def callback(self) -> "keras.callbacks.Callback":
        """This recorder as Keras calls it."""
        import keras

        return keras.callbacks.LambdaCallback(
            on_epoch_begin=self._begin_epoch, on_epoch_end=self._end_epoch
        )

    def _begin_epoch(self, epoch: int, logs: object = None) -> None:
        self._progress.restore_random()
        self._epoch_started = time.monotonic()

    def _end_epoch(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        now, step = time.monotonic(), epoch + 1
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        value = self._objective_of(metrics)
        bad = sorted(name for name, number in metrics.items() if not math.isfinite(number))
        if bad:
            self.diverged = f"diverged: {bad[0]} is {metrics[bad[0]]} at epoch {step}"
            self._model.stop_training = True
            return
        progress = self._progress
        if self._objective.better(value, progress.best_value):
            progress.best_value, progress.best_step = value, step
            progress.best_weights = self._model.get_weights()
        metrics["epoch_seconds"] = now - self._epoch_started
        measurement = Measurement(step=step, metrics=metrics, elapsed_s=now - self._origin)
        progress.measurements.append(measurement)
        # Before the report: an epoch that was reported is trained again only if its checkpoint
        # would have cost too much.
        self._checkpointer.write(self._model, progress)
        self._obey(self._report(measurement), step)

    def _obey(self, decision: Decision, step: int) -> None:
        if decision.stop and step < self._epochs:
            self.stopped = True
            self._model.stop_training = True
        elif step - (self._progress.best_step or 0) >= self._patience:
            self._model.stop_training = True

    def _objective_of(self, metrics: Mapping[str, float]) -> float:
        name = self._objective.metric
        try:
            return metrics[name]
        except KeyError:
            # A wrong name is the study's mistake: no other trial can do better.
            raise FatalTrialError(
                f"the objective {name!r} is not among the metrics that Keras reports: "
                f"{', '.join(sorted(metrics))}"
            ) from None
