"""Messages between an executor and its workers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tuning.core.trial import Decision, Failure, Measurement, Trial, TrialResult, TrialState
from tuning.study.sections import Compare, Objective, Training


@dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """Settings of a worker.

    Attributes:
        task: Class of the task, as ``package.module:Class``.
        task_options: Keyword arguments of the task's constructor.
        classes: Names of the classes of text labels; empty for other labels.
        rule: Rule by which the models will be judged; None if they will not be.
        objective: Objective by which the best epoch is chosen.
        backend: Keras backend.
        folder: Folder in which each trial has a folder for its files. A later attempt of the
            trial finds its checkpoint there.
        prepared: Name of the folder below ``folder`` in which the workers of a machine share data
            that depend on hyperparameters; another one for other data or code. Empty to share
            nothing.
        training: Options of the training, such as the batch size.
        cache_dir: Folder of compiled programs, which later workers use again; empty for no cache.
        environment: Further environment variables of the worker.
        path: Folders from which the task is imported.
        with_keras: Whether the worker trains with Keras, and not by a function of the task.
    """

    task: str
    task_options: Mapping[str, object]
    objective: Objective
    backend: str
    folder: str
    training: Training = field(default_factory=Training)
    classes: tuple[str, ...] = ()
    prepared: str = ""
    rule: Compare | None = None
    cache_dir: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    with_keras: bool = True


@dataclass(frozen=True)
class Train:
    """Message to the worker: train this trial."""

    trial: Trial


@dataclass(frozen=True)
class Reply:
    """Message to the worker: the decision on a reported epoch."""

    name: str
    step: int
    decision: Decision


@dataclass(frozen=True)
class Epoch:
    """Message from the worker: an epoch has ended."""

    name: str
    attempt: int
    measurement: Measurement


@dataclass(frozen=True)
class Done:
    """Message from the worker: the trial has ended.

    Attributes:
        name: Name of the trial.
        attempt: Number of the attempt.
        result: Result of the attempt.
        memory_mb: Memory of the worker after the trial, in MB.
    """

    name: str
    attempt: int
    result: TrialResult
    memory_mb: float


def lost_result(
    measurements: tuple[Measurement, ...], failure: Failure | None, worker: str = ""
) -> TrialResult:
    """Returns the result of an attempt that an error, a loss of the worker or a kill ended.

    Args:
        measurements: Measurements of the epochs that ended before.
        failure: Failure that ended the attempt; None if the attempt was cancelled.
        worker: Name of the worker that trained the trial.
    """
    return TrialResult(
        state=TrialState.INTERRUPTED if failure is None else TrialState.FAILED,
        measurements=measurements,
        duration_s=measurements[-1].elapsed_s if measurements else 0.0,
        failure=failure,
        worker=worker,
    )
