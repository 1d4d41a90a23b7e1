"""Training of one trial with Keras: reports its epochs and saves the model of the best epoch."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core.errors import BadInputError
from tuning.core.task import Fits, HasCallbacks, Task
from tuning.core.trial import Failure, FailureKind, Params, Trial, TrialResult, TrialState
from tuning.data.loading import asked
from tuning.data.parts import Part, Structure
from tuning.metrics.outputs import OutputForm, output_form, symbols_of
from tuning.metrics.predictions import probabilities_or_values
from tuning.study.sections import Compare, Objective, Training
from tuning.training.batches import raw_value, training_data, validation_data, weighted
from tuning.training.checkpoint import (
    CHECKPOINT,
    Checkpointer,
    CheckpointError,
    TrainingProgress,
    load,
)
from tuning.training.fast_lstm.layer import accelerate
from tuning.training.keras_process import quick_to_compile, set_seed, without_autologging
from tuning.training.recorder import EpochRecorder, Report
from tuning.training.saved_model import load_weights, save_model

if TYPE_CHECKING:
    import keras

# Rows that tell the form of the labels; enough that several labels are seen not to be one-hot.
CHECKED_ROWS = 256

_log = logging.getLogger(__name__)


def train(
    task: Task,
    data: Mapping[str, Part],
    trial: Trial,
    objective: Objective,
    training: Training,
    report: Report,
    folder: Path,
    rule: Compare | None = None,
) -> TrialResult:
    """Trains a trial to its last epoch, or until a decision or early stopping ends the training.

    If an earlier attempt left a checkpoint in the folder, its epochs are reported again and the
    training resumes after them. On JAX the result is exactly the same as without the interruption.
    On TensorFlow it can differ, because the state of its random generator cannot be read.

    Args:
        task: Task that builds the model.
        data: The parts ``train`` and ``validation``.
        trial: Trial to train.
        objective: Objective by which the best epoch is chosen.
        training: Options of the training, such as batch size and patience.
        report: Function that is called after every epoch; its decision takes effect at once.
        folder: Folder of the trial for its model and checkpoint.
        rule: Rule by which the model will be judged; None if it will not be.

    Returns:
        A completed result with the model of the best epoch; a pruned result without a model; or a
        failed result without a model if the training diverged.

    Raises:
        InfeasibleError: The task cannot build a model from these params.
        BadInputError: The task returns no compiled Keras model, or none that can be judged.
        FatalTrialError: Keras does not report the metric of the objective.
        Exception: The task or Keras raises another error.
    """
    set_seed(trial.seed)
    model = build_model(task, trial.params, data["train"])
    # Hyperparameters may change the outputs, so every model is looked at.
    form = None if rule is None else judged_output(model, data["validation"], rule)
    progress = _progress_so_far(model, trial, folder)
    if any(report(m).stop and m.step < trial.epochs for m in progress.measurements):
        return _result(model, progress, TrialState.PRUNED)
    options = training.resolve(trial.params)
    checkpointer = Checkpointer(folder / CHECKPOINT, _identity(trial))
    patience = options.get("patience", trial.epochs)
    others = task.callbacks(trial.params) if isinstance(task, HasCallbacks) else []
    recorder = EpochRecorder(
        model, objective, report, progress, checkpointer, trial.epochs, patience, others
    )
    parts = {**data, "train": weighted(data["train"], training.class_weight)}
    with without_autologging():
        if isinstance(task, Fits):
            _fit_by_task(task, parts, trial, recorder)
        else:
            _fit(parts, recorder, options["batch_size"], training.steps_per_epoch)
    if recorder.diverged:
        failure = Failure(kind=FailureKind.INFEASIBLE, message=recorder.diverged)
        return _result(model, progress, TrialState.FAILED, recorder.elapsed_s, failure)
    if not progress.measurements:
        raise BadInputError("task: fit has trained no epoch; pass the callbacks to model.fit")
    if trial.keep_checkpoint or recorder.stopped:
        checkpointer.write(model, progress, force=True)
    if recorder.stopped:
        return _result(model, progress, TrialState.PRUNED, recorder.elapsed_s)
    model.set_weights(progress.best_weights)
    if form is not None and not form.is_certain:
        x = data["validation"].head(CHECKED_ROWS)[0]
        probabilities_or_values(form, form.select(model.predict_on_batch(x)))
    artifacts = save_model(model, folder, data["train"].head(1)[0])
    result = _result(model, progress, TrialState.COMPLETED, recorder.elapsed_s)
    return replace(result, artifacts=artifacts)


def judged_output(model: "keras.Model", part: Part, rule: Compare) -> OutputForm:
    """Returns the form of the output that a study judges.

    Args:
        model: Compiled model.
        part: Part with examples of the inputs and labels.
        rule: Rule by which the model will be judged.

    Raises:
        BadInputError: The model cannot be judged; the message says why.
    """
    x, y, _ = part.head(CHECKED_ROWS)
    return output_form(
        model, y, rule.deciding, output=rule.output, outputs=rule.outputs, example=x
    )


def build_model(task: Task, params: Params, part: Part) -> "keras.Model":
    """Builds the model of a task, also one whose layers are built by its first call.

    Args:
        task: Task that builds the model.
        params: Hyperparameters.
        part: Part with examples of the inputs.

    Raises:
        InfeasibleError: The task cannot build a model from these params.
        BadInputError: The task returns no compiled Keras model.
    """
    import keras

    with quick_to_compile():
        model = task.build(params)
    if not isinstance(model, keras.Model):
        raise BadInputError(f"task: build must return a keras.Model; got {type(model).__name__}")
    if not getattr(model, "compiled", True):
        raise BadInputError("task: the model is not compiled; call model.compile in build")
    accelerate(model)
    if not getattr(model, "built", True) or not model.variables:
        _call_once(model, part.head(1)[0])
    return model


def rebuild(task: Task, params: Params, part: Part, file: Path) -> "keras.Model":
    """Builds a model and loads the weights of a training into it.

    Args:
        task: Task that builds the model.
        params: Hyperparameters of the training.
        part: Part with examples of the inputs.
        file: Model file of the training.
    """
    model = build_model(task, params, part)
    load_weights(model, file)
    return model


def _call_once(model: "keras.Model", example: Structure) -> None:
    """Builds the layers of a model that waits for its first inputs."""
    try:
        # With values, a sequential model would take their number of rows for its own.
        model(symbols_of(example))
    except Exception:  # its call needs values, not symbols
        model(example)


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


def _fit(
    data: Mapping[str, Part], recorder: EpochRecorder, batch_size: int, steps_per_epoch: int | None
) -> None:
    """Trains from the last finished epoch to the last epoch."""
    first_epoch = recorder.progress.last_step
    recorder.model.fit(
        **training_data(recorder.model, data["train"], batch_size),
        **validation_data(data["validation"]),
        epochs=first_epoch if _is_complete(recorder) else recorder.epochs,
        initial_epoch=first_epoch,
        steps_per_epoch=steps_per_epoch,
        callbacks=recorder.callbacks(),
        verbose=0,
    )


def _fit_by_task(
    task: Fits, data: Mapping[str, Part], trial: Trial, recorder: EpochRecorder
) -> None:
    """Lets the task train the model; the recorder ends the training after the last epoch."""
    if _is_complete(recorder):
        return
    known = {"epochs": trial.epochs, "initial_epoch": recorder.progress.last_step}
    parts = {name: raw_value(part) for name, part in data.items()}
    options = asked(task.fit, **known)
    task.fit(recorder.model, trial.params, parts, recorder.callbacks(), **options)


def _is_complete(recorder: EpochRecorder) -> bool:
    """Whether a training that is resumed had met its end when it was killed."""
    progress = recorder.progress
    step = progress.last_step
    is_out_of_patience = step > 0 and step - (progress.best_step or 0) >= recorder.patience
    return is_out_of_patience or progress.ended or step >= recorder.epochs


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
