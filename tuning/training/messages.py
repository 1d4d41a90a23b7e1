"""What an executor tells its workers, and what they answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tuning.core.trial import Decision, Measurement, Trial, TrialResult
from tuning.study.sections import Objective, Training


@dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """What a worker needs to know before its first trial.

    Attributes:
        task: ``package.module:Class``.
        task_options: Keyword arguments of its constructor.
        objective: The objective by which the best epoch is chosen.
        training: How Keras trains.
        backend: Keras backend.
        folder: Where trials leave their files, each in a folder of its own. A later attempt finds
            the checkpoint of the former there.
        cache_dir: Where compiled programs are kept for the next worker; empty for nowhere.
        environment: Further environment variables.
        path: Folders to import the task from.
    """

    task: str
    task_options: Mapping[str, object]
    objective: Objective
    backend: str
    folder: str
    training: Training = field(default_factory=Training)
    cache_dir: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()


@dataclass(frozen=True)
class Train:
    """To the worker: train this."""

    trial: Trial


@dataclass(frozen=True)
class Reply:
    """To the worker: the decision on the epoch that it reported."""

    name: str
    step: int
    decision: Decision


@dataclass(frozen=True)
class Epoch:
    """From the worker: an epoch ended."""

    name: str
    attempt: int
    measurement: Measurement


@dataclass(frozen=True)
class Done:
    """From the worker: the trial ended. ``memory_mb`` is what the process holds now."""

    name: str
    attempt: int
    result: TrialResult
    memory_mb: float
