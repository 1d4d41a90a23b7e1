"""The facts that travel between driver, searchers, executors and trackers: all frozen."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

ParamValue = int | float | str | bool
Params = Mapping[str, ParamValue]


class Phase(StrEnum):
    """Why a trial is trained."""

    BASELINE = "baseline"
    SEARCH = "search"
    REFERENCE = "reference"
    CONFIRM = "confirm"
    LONG_RUN = "long_run"
    ABLATION = "ablation"


class TrialState(StrEnum):
    """How a trial ended."""

    COMPLETED = "completed"
    PRUNED = "pruned"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class FailureKind(StrEnum):
    """Why a trial failed, which decides what the driver does next.

    ``INFEASIBLE``: these params cannot make a model; no retry. ``WORKER_LOST``: the process died
    or ran out of memory; retried with the same seed. ``ERROR``: an exception in user code; what
    follows is the study's ``on_error``, and many in a row stop the study. ``LIMIT``: killed at
    a limit of the study; no retry. ``FATAL``: no trial can succeed; the study stops, and a
    resumed one trains this trial again. ``BAD_INPUT``: the same, because the task or its model is
    not what a study can judge.
    """

    INFEASIBLE = "infeasible"
    WORKER_LOST = "worker_lost"
    ERROR = "error"
    LIMIT = "limit"
    FATAL = "fatal"
    BAD_INPUT = "bad_input"

    @property
    def ends_study(self) -> bool:
        """Whether no other trial could do better."""
        return self in (FailureKind.FATAL, FailureKind.BAD_INPUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a searcher wants trained next.

    Attributes:
        params: A value for every active hyperparameter of the space.
        epochs: Total epochs to reach; None means the source's own number.
        resume_from: Name of the finished trial whose checkpoint to go on from.
        name: A name of the searcher's choice; None means ``<searcher>-<number>``.
        seed: A seed of the searcher's choice; None means the driver's function of the number.
        keep_checkpoint: Whether a later trial may go on from where this one ends.
        tags: More facts for the record, such as the candidate that is being confirmed.
    """

    params: Params
    epochs: int | None = None
    resume_from: str | None = None
    name: str | None = None
    seed: int | None = None
    keep_checkpoint: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One training of one configuration with one seed.

    Attributes:
        name: Unique in the study; also the name of the MLflow run.
        number: Position in its searcher's sequence, from 0.
        params: Searched and fixed hyperparameters.
        phase: Why it is trained.
        searcher: Name of the searcher that proposed it.
        seed: Seed of initialisation, shuffling and dropout.
        epochs: Total epochs to reach.
        attempt: 0 for the first, more after the loss of a worker.
        resume_from: Name of the finished trial whose checkpoint to go on from.
        keep_checkpoint: Whether to leave a checkpoint of the last epoch behind.
        tags: More facts for the record.
    """

    name: str
    number: int
    params: Params
    phase: Phase
    searcher: str
    seed: int
    epochs: int
    attempt: int = 0
    resume_from: str | None = None
    keep_checkpoint: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The metrics of one finished epoch.

    Attributes:
        step: The epoch, from 1.
        metrics: Values by the names that Keras gives them.
        elapsed_s: Seconds since the trial began to train.
    """

    step: int
    metrics: Mapping[str, float]
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer to a measurement: go on, or stop for a reason."""

    stop: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        if self.stop and not self.reason:
            raise ValueError("a decision to stop needs a reason")


CONTINUE = Decision()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong in a trial."""

    kind: FailureKind
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """How a trial ended and what it left behind.

    Attributes:
        state: Completed, pruned, failed or interrupted.
        value: The objective at the best epoch; None if no finite value was seen.
        best_step: The epoch, from 1, at which ``value`` was measured and the model was kept.
        measurements: Every epoch, in order.
        duration_s: Seconds of its own training and saving, without waiting.
        failure: Set exactly when ``state`` is failed.
        artifacts: Local paths by kind: ``model`` (a ``.keras`` file), ``model_spec`` (its inputs
            and outputs as JSON).
        facts: Numbers worth recording once, such as ``parameter_count``.
        worker: The worker that trained it.
        stop_reason: Why it ended before its last epoch; set by the driver.
        reused_from: The trial of the same configuration whose result this is; this one was not
            trained.
        inherited: Epochs at the beginning of ``measurements`` that another trial has trained, from
            whose checkpoint this one went on.
    """

    state: TrialState
    value: float | None = None
    best_step: int | None = None
    measurements: tuple[Measurement, ...] = ()
    duration_s: float = 0.0
    failure: Failure | None = None
    artifacts: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)
    worker: str = ""
    stop_reason: str = ""
    reused_from: str = ""
    inherited: int = 0

    def __post_init__(self) -> None:
        if (self.failure is not None) != (self.state is TrialState.FAILED):
            raise ValueError("a failure belongs to a failed trial, and only to that")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"the value of a trial must be finite, got {self.value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """A trial with its end: what a resumed study and the report read back from MLflow.

    Attributes:
        trial: The trial.
        result: Its end; interrupted if it has none, and then it is trained again on a resume.
        run_id: Its MLflow run.
        model_id: Its logged model, or empty.
        started_ms: When it was proposed, Unix time in milliseconds.
        ended_ms: When its end was told; 0 if it has none.
    """

    trial: Trial
    result: TrialResult
    run_id: str = ""
    model_id: str = ""
    started_ms: int = 0
    ended_ms: int = 0

    @property
    def completed(self) -> bool:
        """Whether it was trained to its end and has a value that can be compared."""
        return self.result.state is TrialState.COMPLETED and self.result.value is not None


def trial_name(searcher: str, number: int) -> str:
    """The name of a search trial: ``optuna-007``."""
    return f"{searcher}-{number:03d}"


def config_hash(params: Params) -> str:
    """Hashes a configuration, whatever the order of its hyperparameters.

    ``0``, ``0.0`` and ``False`` train the same model only where the space says so; the space
    gives every value its declared type, so no numeric folding is done here.

    Returns:
        Twelve hexadecimal digits.
    """
    text = json.dumps(dict(params), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
