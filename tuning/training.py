"""Trains one trial with Keras: streams its epochs, keeps the best, saves what is left behind."""

import gc
import json
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.batches import evaluation_batch, training_data
from tuning.checkpoint import CHECKPOINT, Checkpointer, CheckpointError, Course, load
from tuning.errors import FatalTrialError
from tuning.fast_lstm import accelerate
from tuning.keras_import import without_tensorflow
from tuning.memory import give_freed_memory_back
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

_log = logging.getLogger(__name__)

Report = Callable[[Measurement], Decision]

# JAX's option.
_HASTE = "jax_disable_most_optimizations"


def train(
    task: Task,
    data: Mapping[str, Examples],
    trial: Trial,
    objective: Objective,
    report: Report,
    folder: Path,
) -> TrialResult:
    """Trains a trial to its last epoch, or until it is told to stop.

    Where an earlier attempt left a checkpoint in the folder, its epochs are reported again and the
    training goes on after them. On JAX the result is the same, number for number, as without the
    stop; TensorFlow shuffles with random numbers that it does not give away.

    Args:
        task: Builds the model.
        data: The parts ``train`` and ``validation``.
        trial: What to train. Its params ``batch_size`` (32 if missing) and ``patience`` (the
            training ends after so many epochs without a better one; never if missing) are used
            here, all other params are the task's.
        objective: By which the best epoch is chosen.
        report: Called after every epoch; its decision is obeyed at once.
        folder: The trial's own, for the model and the checkpoint.

    Returns:
        A completed result with the model of the best epoch, a pruned one without, or a failed
        one if the training diverged.

    Raises:
        InfeasibleError: The task cannot build this model.
        FatalTrialError: Keras does not report the objective.
        Exception: Whatever else the task or Keras raises.
    """
    set_seed(trial.seed)
    with _quick_to_compile():
        model = task.build(trial.params)
    accelerate(model)
    course, first_epoch = _where_to_begin(model, trial, folder, data["train"][0])
    if any(report(m).stop and m.step < trial.epochs for m in course.measurements):
        return _result(model, course, TrialState.PRUNED)
    batch_size = int(trial.params.get("batch_size", 32))
    checkpointer = Checkpointer(folder / CHECKPOINT, _identity(trial))
    patience = int(trial.params.get("patience", trial.epochs))
    recorder = _recorder(objective, report, course, checkpointer, patience)
    # One that had lost its patience when it was killed has nothing left to train.
    done = first_epoch > 0 and first_epoch - (course.best_step or 0) >= patience
    model.fit(
        **training_data(data["train"], batch_size),
        epochs=first_epoch if done else trial.epochs,
        initial_epoch=first_epoch,
        validation_data=data["validation"],
        validation_batch_size=evaluation_batch(len(data["validation"][0])),
        callbacks=[recorder],
        verbose=0,
    )
    if recorder.diverged:
        failure = Failure(kind=FailureKind.INFEASIBLE, message=recorder.diverged)
        return _result(model, course, TrialState.FAILED, recorder.elapsed_s(), failure)
    if trial.keep_checkpoint or recorder.stopped:
        checkpointer.write(model, course, at_any_price=True)
    if recorder.stopped:
        return _result(model, course, TrialState.PRUNED, recorder.elapsed_s())
    model.set_weights(course.best_weights)
    artifacts = _save_model(model, folder)
    result = _result(model, course, TrialState.COMPLETED, recorder.elapsed_s())
    return replace(result, artifacts=artifacts)


def _identity(trial: Trial) -> dict[str, Any]:
    """What two trainings must share for one to go on from the other's checkpoint."""
    return {"params": dict(trial.params), "seed": trial.seed, "parent": trial.resume_from}


def _where_to_begin(
    model: "keras.Model", trial: Trial, folder: Path, inputs: Any
) -> tuple[Course, int]:
    """This trial's course so far, and the epoch, from 0, to begin with."""
    own = folder / CHECKPOINT
    parent = folder.parent / trial.resume_from / CHECKPOINT if trial.resume_from else None
    if not model.built and (own.exists() or parent is not None):
        model(inputs[:1])
    if own.exists():
        try:
            course = load(own, model, _identity(trial))
            return course, course.last_step
        except CheckpointError as error:
            _log.warning("%s: its checkpoint cannot be used: %s", trial.name, error)
    if parent is not None:
        try:
            course = load(parent, model)
            course.inherited = course.last_step
            return course, course.last_step
        except CheckpointError as error:
            _log.warning("%s is trained from its first epoch: %s", trial.name, error)
    return Course(), 0


def _result(
    model: "keras.Model",
    course: Course,
    state: TrialState,
    duration_s: float = 0.0,
    failure: Failure | None = None,
) -> TrialResult:
    return TrialResult(
        state=state,
        value=course.best_value,
        best_step=course.best_step,
        measurements=tuple(course.measurements),
        duration_s=max(duration_s - course.elapsed_s, 0.0) + course.own_s,
        failure=failure,
        inherited=course.inherited,
        facts={"parameter_count": float(model.count_params())},
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


def free_memory() -> None:
    """Frees models and compiled programs of the trials before.

    JAX keeps a program for every shape it has met: 36 MB a trial were measured on a small LSTM.
    """
    import keras

    keras.utils.clear_session()
    gc.collect()
    if keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()
        gc.collect()
    give_freed_memory_back()


@contextmanager
def _quick_to_compile() -> Iterator[None]:
    """Has JAX compile without optimisations what runs but once: the programs that draw weights.

    Building a model of new shapes takes half as long, and its weights move by a rounding error.
    The option is the whole process's, so this is not for one whose other threads compile.
    """
    import keras

    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    before = jax.config.values.get(_HASTE, False)
    jax.config.update(_HASTE, True)
    try:
        yield
    finally:
        jax.config.update(_HASTE, before)


def load_model(file: Path) -> "keras.Model":
    """Loads a ``.keras`` file to predict with, code in it refused."""
    import keras

    with without_tensorflow():
        # safe_mode refuses lambda layers, which would run code from the file.
        return keras.saving.load_model(file, compile=False, safe_mode=True)


def _recorder(
    objective: Objective,
    report: Report,
    course: Course,
    checkpointer: Checkpointer,
    patience: int,
) -> Any:
    import keras

    origin = time.monotonic() - course.elapsed_s

    class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
        """Reports every epoch and remembers the weights of the best one."""

        def __init__(self) -> None:
            super().__init__()
            self.stopped = False
            self.diverged = ""
            self._epoch_started = origin

        def elapsed_s(self) -> float:
            return time.monotonic() - origin

        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            course.restore_random()
            self._epoch_started = time.monotonic()

        def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
            now = time.monotonic()
            metrics = {name: float(value) for name, value in (logs or {}).items()}
            value = _objective_of(metrics, objective)
            bad = sorted(name for name, number in metrics.items() if not math.isfinite(number))
            if bad:
                self.diverged = f"diverged: {bad[0]} is {metrics[bad[0]]} at epoch {epoch + 1}"
                self.model.stop_training = True
                return
            if objective.better(value, course.best_value):
                course.best_value, course.best_step = value, epoch + 1
                course.best_weights = self.model.get_weights()
            metrics["epoch_seconds"] = now - self._epoch_started
            measurement = Measurement(step=epoch + 1, metrics=metrics, elapsed_s=now - origin)
            course.measurements.append(measurement)
            # Before the report: an epoch that somebody has heard of is trained again only if its
            # checkpoint would have cost too much.
            checkpointer.write(self.model, course)
            decision = report(measurement)
            if decision.stop and epoch + 1 < self.params["epochs"]:
                self.stopped = True
                self.model.stop_training = True
            elif epoch + 1 - (course.best_step or 0) >= patience:
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
