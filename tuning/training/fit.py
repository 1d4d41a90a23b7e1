"""Training of one trial with Keras: reports its epochs and saves the model of the best epoch."""

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
    """Trains a trial to its last epoch, or until a decision or early stopping ends the training.

    If an earlier attempt left a checkpoint in the folder, its epochs are reported again and the
    training resumes after them. On JAX the result is exactly the same as without the interruption.
    On TensorFlow it can differ, because the state of its random generator cannot be read.

    Args:
        task: Task that builds the model.
        data: Examples of the splits ``train`` and ``validation``.
        trial: Trial to train.
        objective: Objective by which the best epoch is chosen.
        training: Options of the training: batch size and patience.
        report: Function that is called after every epoch; its decision takes effect at once.
        folder: Folder of the trial for its model and checkpoint.

    Returns:
        A completed result with the model of the best epoch; a pruned result without a model; or a
        failed result without a model if the training diverged.

    Raises:
        InfeasibleError: The task cannot build a model from these params.
        BadInputError: The model does not end in one sigmoid unit.
        FatalTrialError: Keras does not report the metric of the objective.
        Exception: The task or Keras raises another error.
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
    _fit(data, recorder, options["batch_size"])
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
    """Builds the model, and refuses a model that does not end in one sigmoid unit."""
    with quick_to_compile():
        model = task.build(params)
    accelerate(model)
    if not getattr(model, "built", True):
        model(inputs[:1])
    check_one_sigmoid_unit(model)
    return model


def _progress_so_far(model: "keras.Model", trial: Trial, folder: Path) -> TrainingProgress:
    """Loads the checkpoint of an earlier attempt or of the trial from which this one resumes."""
    file = folder / CHECKPOINT
    if file.exists():
        try:
            return load(file, model, _identity(trial))
        except CheckpointError as error:
            _log.warning("trial %s: its checkpoint cannot be used: %s", trial.name, error)
    if trial.resume_from:
        try:
            progress = load(folder.parent / trial.resume_from / CHECKPOINT, model)
            progress.inherited = progress.last_step
            return progress
        except CheckpointError as error:
            _log.warning("trial %s: it starts from its first epoch: %s", trial.name, error)
    return TrainingProgress()


def _identity(trial: Trial) -> dict[str, Any]:
    """Returns the values that an attempt and a checkpoint must share to resume from it."""
    return {"params": dict(trial.params), "seed": trial.seed, "parent": trial.resume_from}


def _fit(data: Mapping[str, Examples], recorder: EpochRecorder, batch_size: int) -> None:
    """Trains from the last finished epoch to the last epoch."""
    progress = recorder.progress
    first_epoch = progress.last_step
    # A training that had met its early-stopping rule when it was killed has nothing to train.
    is_complete = first_epoch > 0 and first_epoch - (progress.best_step or 0) >= recorder.patience
    recorder.model.fit(
        **training_data(data["train"], batch_size),
        epochs=first_epoch if is_complete else recorder.epochs,
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
