"""Trains one trial with Keras: streams its epochs, keeps the best, saves what is left behind."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core.task import Examples, Task
from tuning.core.trial import Failure, FailureKind, Params, Trial, TrialResult, TrialState
from tuning.metrics.outputs import check_one_sigmoid_unit
from tuning.study.sections import Objective, Training
from tuning.training.checkpoint import (
    CHECKPOINT,
    Checkpointer,
    CheckpointError,
    TrainingProgress,
    load,
)
from tuning.training.equal_batches import evaluation_batch, training_data
from tuning.training.fast_lstm.layer import accelerate
from tuning.training.keras_process import quick_to_compile, set_seed
from tuning.training.recorder import EpochRecorder, Report
from tuning.training.saved_model import save_model

if TYPE_CHECKING:
    import keras

_log = logging.getLogger(__name__)


def train(
    task: Task,
    data: Mapping[str, Examples],
    trial: Trial,
    objective: Objective,
    training: Training,
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
        trial: The trial; its params are the task's.
        objective: The objective by which the best epoch is chosen.
        training: How Keras trains.
        report: Called after every epoch; its decision is obeyed at once.
        folder: The trial's own folder, for the model and the checkpoint.

    Returns:
        A completed result with the model of the best epoch, a pruned one without, or a failed
        one if the training diverged.

    Raises:
        InfeasibleError: The task cannot build this model.
        BadInputError: The model cannot be judged.
        FatalTrialError: Keras does not report the objective.
        Exception: Whatever else the task or Keras raises.
    """
    set_seed(trial.seed)
    model = _build(task, trial.params, data["train"][0])
    progress = _progress_so_far(model, trial, folder)
    if any(report(m).stop and m.step < trial.epochs for m in progress.measurements):
        return _result(model, progress, TrialState.PRUNED)
    options = training.resolve(trial.params)
    checkpointer = Checkpointer(folder / CHECKPOINT, _identity(trial))
    patience = options.get("patience", trial.epochs)
    recorder = EpochRecorder(
        model, objective, report, progress, checkpointer, trial.epochs, patience
    )
    _fit(model, data, recorder, progress, options["batch_size"], patience, trial.epochs)
    if recorder.diverged:
        failure = Failure(kind=FailureKind.INFEASIBLE, message=recorder.diverged)
        return _result(model, progress, TrialState.FAILED, recorder.elapsed_s, failure)
    if trial.keep_checkpoint or recorder.stopped:
        checkpointer.write(model, progress, force=True)
    if recorder.stopped:
        return _result(model, progress, TrialState.PRUNED, recorder.elapsed_s)
    model.set_weights(progress.best_weights)
    artifacts = save_model(model, folder)
    result = _result(model, progress, TrialState.COMPLETED, recorder.elapsed_s)
    return replace(result, artifacts=artifacts)


def _build(task: Task, params: Params, inputs: Any) -> "keras.Model":
    """Builds the model, and refuses one that cannot be judged."""
    with quick_to_compile():
        model = task.build(params)
    accelerate(model)
    if not getattr(model, "built", True):
        model(inputs[:1])
    check_one_sigmoid_unit(model)
    return model


def _progress_so_far(model: "keras.Model", trial: Trial, folder: Path) -> TrainingProgress:
    """The state that an earlier attempt, or the trial that this one continues, has left."""
    own = folder / CHECKPOINT
    if own.exists():
        try:
            return load(own, model, _identity(trial))
        except CheckpointError as error:
            _log.warning("%s: its checkpoint cannot be used: %s", trial.name, error)
    if trial.resume_from:
        try:
            progress = load(folder.parent / trial.resume_from / CHECKPOINT, model)
            progress.inherited = progress.last_step
            return progress
        except CheckpointError as error:
            _log.warning("%s is trained from its first epoch: %s", trial.name, error)
    return TrainingProgress()


def _identity(trial: Trial) -> dict[str, Any]:
    """What two trainings must share for one to go on from the other's checkpoint."""
    return {"params": dict(trial.params), "seed": trial.seed, "parent": trial.resume_from}


def _fit(
    model: "keras.Model",
    data: Mapping[str, Examples],
    recorder: EpochRecorder,
    progress: TrainingProgress,
    batch_size: int,
    patience: int,
    epochs: int,
) -> None:
    """Trains from the epoch that the progress has reached to the last one."""
    first_epoch = progress.last_step
    # A training that ran out of patience before it was killed has nothing left to train.
    is_done = first_epoch > 0 and first_epoch - (progress.best_step or 0) >= patience
    model.fit(
        **training_data(data["train"], batch_size),
        epochs=first_epoch if is_done else epochs,
        initial_epoch=first_epoch,
        validation_data=data["validation"],
        validation_batch_size=evaluation_batch(len(data["validation"][0])),
        callbacks=[recorder.callback()],
        verbose=0,
    )


def _result(
    model: "keras.Model",
    progress: TrainingProgress,
    state: TrialState,
    duration_s: float = 0.0,
    failure: Failure | None = None,
) -> TrialResult:
    return TrialResult(
        state=state,
        value=progress.best_value,
        best_step=progress.best_step,
        measurements=tuple(progress.measurements),
        duration_s=max(duration_s - progress.elapsed_s, 0.0) + progress.own_seconds,
        failure=failure,
        inherited=progress.inherited,
        facts={"parameter_count": float(model.count_params())},
    )
