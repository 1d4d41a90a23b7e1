"""Trains one trial with Keras: streams its epochs, keeps the best, saves what is left behind."""

import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.errors import FatalTrialError
from tuning.protocols import Examples, Task
from tuning.study import Objective
from tuning.trial import (
    Decision,
    Failure,
    FailureKind,
    Measurement,
    Trial,
    TrialResult,
    TrialState,
)

if TYPE_CHECKING:
    import keras
    import numpy as np

EVALUATION_BATCH = 256

Report = Callable[[Measurement], Decision]


def train(
    task: Task,
    data: Mapping[str, Examples],
    trial: Trial,
    objective: Objective,
    report: Report,
    folder: Path,
) -> TrialResult:
    """Trains a trial to its last epoch, or until it is told to stop.

    Args:
        task: Builds the model.
        data: The parts ``train`` and ``validation``.
        trial: What to train. Its ``batch_size`` param is used here (32 if missing), all other
            params are the task's.
        objective: By which the best epoch is chosen.
        report: Called after every epoch; its decision is obeyed at once.
        folder: An empty folder for the model and the checkpoint.

    Returns:
        A completed result with the model of the best epoch, a pruned one without, or a failed
        one if the training diverged.

    Raises:
        InfeasibleError: The task cannot build this model.
        FatalTrialError: Keras does not report the objective.
        Exception: Whatever else the task or Keras raises.
    """
    started = time.monotonic()
    set_seed(trial.seed)
    model = task.build(trial.params)
    first_epoch = _continue_from(model, trial.resume_from) if trial.resume_from else 0
    batch_size = int(trial.params.get("batch_size", 32))
    recorder = _recorder(objective, report, started)
    model.fit(
        *data["train"],
        batch_size=batch_size,
        epochs=trial.epochs,
        initial_epoch=first_epoch,
        validation_data=data["validation"],
        validation_batch_size=max(batch_size, EVALUATION_BATCH),
        callbacks=[recorder],
        verbose=0,
    )
    facts = {"parameter_count": float(model.count_params())}
    if recorder.diverged:
        return TrialResult(
            state=TrialState.FAILED,
            value=recorder.best_value,
            best_step=recorder.best_step,
            measurements=tuple(recorder.measurements),
            duration_s=time.monotonic() - started,
            failure=Failure(kind=FailureKind.INFEASIBLE, message=recorder.diverged),
            facts=facts,
        )
    artifacts: dict[str, str] = {}
    if trial.keep_checkpoint:
        artifacts["checkpoint"] = str(_save_checkpoint(model, recorder.last_step, folder))
    if not recorder.stopped:
        model.set_weights(recorder.best_weights)
        artifacts |= _save_model(model, folder)
    return TrialResult(
        state=TrialState.PRUNED if recorder.stopped else TrialState.COMPLETED,
        value=recorder.best_value,
        best_step=recorder.best_step,
        measurements=tuple(recorder.measurements),
        duration_s=time.monotonic() - started,
        artifacts=artifacts,
        facts=facts,
    )


def set_seed(seed: int) -> None:
    """Seeds initialisation, shuffling and dropout, and frees what an earlier model left behind.

    On JAX the same as ``keras.utils.set_random_seed``, which would import TensorFlow just to seed
    that too: seconds and hundreds of megabytes in every worker.
    """
    import keras
    import numpy as np

    keras.utils.clear_session()
    if keras.backend.backend() == "jax":
        random.seed(seed)
        np.random.seed(seed)
    else:
        keras.utils.set_random_seed(seed)


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """Keeps Keras on JAX from importing TensorFlow just to ask whether a value is one of its own.

    It does so in every save and load, at the price of seconds and hundreds of megabytes in each
    process. Where TensorFlow is the backend, or is imported already, nothing changes.
    """
    import keras

    if keras.backend.backend() == "tensorflow" or "tensorflow" in sys.modules:
        yield
        return
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["tensorflow"]


def _recorder(objective: Objective, report: Report, started: float) -> Any:
    import keras

    class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
        """Reports every epoch and remembers the weights of the best one."""

        def __init__(self) -> None:
            super().__init__()
            self.measurements: list[Measurement] = []
            self.best_value: float | None = None
            self.best_step: int | None = None
            self.best_weights: list[np.ndarray[Any, Any]] = []
            self.last_step = 0
            self.stopped = False
            self.diverged = ""
            self._epoch_started = started

        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            self._epoch_started = time.monotonic()

        def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
            now = time.monotonic()
            metrics = {name: float(value) for name, value in (logs or {}).items()}
            value = _objective_of(metrics, objective)
            self.last_step = epoch + 1
            bad = sorted(name for name, number in metrics.items() if not math.isfinite(number))
            if bad:
                self.diverged = f"diverged: {bad[0]} is {metrics[bad[0]]} at epoch {epoch + 1}"
                self.model.stop_training = True
                return
            if objective.better(value, self.best_value):
                self.best_value, self.best_step = value, epoch + 1
                self.best_weights = self.model.get_weights()
            metrics["epoch_seconds"] = now - self._epoch_started
            measurement = Measurement(step=epoch + 1, metrics=metrics, elapsed_s=now - started)
            self.measurements.append(measurement)
            decision = report(measurement)
            if decision.stop and epoch + 1 < self.params["epochs"]:
                self.stopped = True
                self.model.stop_training = True

    return Recorder()


def _objective_of(metrics: Mapping[str, float], objective: Objective) -> float:
    try:
        return metrics[objective.metric]
    except KeyError:
        # A wrong name is the study's mistake: no other trial can do better.
        raise FatalTrialError(
            f"the objective {objective.metric!r} is not among the metrics that Keras reports: "
            f"{', '.join(sorted(metrics))}"
        ) from None


def _save_model(model: "keras.Model", folder: Path) -> dict[str, str]:
    import keras

    model_file, spec_file = folder / "model.keras", folder / "model_spec.json"
    with without_tensorflow():
        model.save(model_file)
    spec = {
        "inputs": [_tensor(tensor) for tensor in model.inputs],
        "outputs": [_tensor(tensor) for tensor in model.outputs],
        "keras_backend": keras.backend.backend(),
    }
    spec_file.write_text(json.dumps(spec), "utf-8")
    return {"model": str(model_file), "model_spec": str(spec_file)}


def _tensor(tensor: Any) -> dict[str, Any]:
    shape = [-1 if size is None else int(size) for size in tensor.shape]
    return {"dtype": str(tensor.dtype), "shape": shape}


def _save_checkpoint(model: "keras.Model", last_step: int, folder: Path) -> Path:
    file = folder / f"epoch-{last_step}.weights.h5"
    model.save_weights(file)
    return file


def _continue_from(model: "keras.Model", checkpoint: str) -> int:
    """Loads weights and optimizer state; returns how many epochs they have been trained."""
    # Keras skips the optimizer's variables, with no more than a warning, if they do not exist yet.
    model.optimizer.build(model.trainable_variables)
    model.load_weights(checkpoint)
    return int(Path(checkpoint).name.removeprefix("epoch-").split(".")[0])
