"""Immutable data that driver, searchers, executors and trackers exchange."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

# How the fresh seeds get their training and validation rows; see the study's section ``confirm``.
Resample = Literal["none", "split", "folds", "repeated", "grouped", "rolling"]
# A list has such values itself.
ParamValue = int | float | str | bool | None | list[Any]
# By name; whoever reads a value knows its type.
Params = Mapping[str, Any]


REPEAT = "tuning.repeat"
"""Trial tag: number of the training of a configuration that is trained several times."""
CUT = "tuning.cut"
"""Trial tag: its training and validation rows as JSON, if they are not the task's own."""


class Phase(StrEnum):
    """Purpose of a trial."""

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
    """Cause of a failure; it decides what the driver does next.

    ``INFEASIBLE``: The hyperparameters cannot make a model, or the training diverged; no retry.
    ``WORKER_LOST``: The process died; retried with the same seed. ``ERROR``: User code raised an
    exception; the study's ``on_error`` decides what follows. ``LIMIT``: The process was killed at
    a limit of the study; no retry. ``OUT_OF_MEMORY``: The memory of the machine or the GPU was
    exhausted; retried once, because others may use the same memory. ``FATAL``: No trial can
    succeed; the study stops, and a resumed study trains this trial again. ``BAD_INPUT``: The study
    cannot judge the task or its model; the study stops as for ``FATAL``.

    Several failures in a row stop the study, except those that are answers about a configuration:
    ``INFEASIBLE``, ``LIMIT`` and ``OUT_OF_MEMORY``.
    """

    INFEASIBLE = "infeasible"
    WORKER_LOST = "worker_lost"
    ERROR = "error"
    LIMIT = "limit"
    OUT_OF_MEMORY = "out_of_memory"
    FATAL = "fatal"
    BAD_INPUT = "bad_input"

    @property
    def ends_study(self) -> bool:
        """Whether the study stops, because no other trial can succeed."""
        return self in (FailureKind.FATAL, FailureKind.BAD_INPUT)

    @property
    def is_answer(self) -> bool:
        """Whether the failure tells something about the configuration, as a result does."""
        answers = FailureKind.INFEASIBLE, FailureKind.LIMIT, FailureKind.OUT_OF_MEMORY
        return self in answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A training that a searcher proposes.

    Attributes:
        params: Values of all active hyperparameters of the space.
        epochs: Total number of epochs; None for the number of the trial source.
        resume_from: Name of the finished trial from whose checkpoint the training continues.
        name: Name of the trial; None for ``<searcher>-<number>``.
        seed: Seed of the trial; None for a seed that the driver derives from the number.
        keep_checkpoint: Whether a later trial may continue from the end of this trial.
        tags: Additional tags for the record, for example the candidate that is being confirmed.
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
        name: Name of the trial, unique in the study; also the name of the MLflow run.
        number: Position in its searcher's sequence, from 0.
        params: Searched and fixed hyperparameters.
        phase: Purpose of the trial.
        searcher: Name of the searcher that proposed it.
        seed: Seed of initialisation, shuffling and dropout.
        epochs: Total number of epochs.
        attempt: Number of the attempt: 0 for the first, higher after a retry or a resume.
        resume_from: Name of the finished trial from whose checkpoint the training continues.
        keep_checkpoint: Whether the worker keeps a checkpoint of the last epoch.
        tags: Additional tags for the record.
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
        step: Number of the epoch, from 1.
        metrics: Values by name: the metrics of Keras, and ``epoch_seconds``.
        elapsed_s: Seconds of training until the end of the epoch. Earlier attempts count, and so
            does the trial from whose checkpoint this one continued.
    """

    step: int
    metrics: Mapping[str, float]
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer to a measurement: continue, or stop for a reason."""

    stop: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        if self.stop and not self.reason:
            raise ValueError("a decision to stop needs a reason")


CONTINUE = Decision()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The cause and the message of a failed trial."""

    kind: FailureKind
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """The end of a trial and its results.

    Attributes:
        state: Final state: completed, pruned, failed or interrupted.
        value: Objective at the best epoch; None if no finite value was measured.
        best_step: Epoch, from 1, at which ``value`` was measured; the kept model is from it.
        measurements: Measurements of all epochs, in order.
        duration_s: Seconds of training and saving, without waiting and inherited epochs.
        failure: Cause of the failure; set exactly if ``state`` is failed.
        artifacts: Local paths by kind: ``model`` (a ``.keras`` file), ``model_spec`` (its inputs
            and outputs as JSON).
        facts: Numbers that are recorded once per trial, for example ``parameter_count``.
        worker: Name of the worker that trained the trial.
        stop_reason: Reason why the trial ended before its last epoch; set by the driver.
        reused_from: Name of the trial with the same configuration whose result this is; empty if
            this trial was trained.
        inherited: Number of epochs at the beginning of ``measurements`` that another trial
            trained; this trial continued from its checkpoint.
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
            raise ValueError("a failure belongs to a failed trial and to no other trial")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"the value of a trial must be finite, got {self.value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """A trial and its result; a resumed study and the report read it from MLflow.

    Attributes:
        trial: The trial.
        result: Result of the trial. Its state is interrupted if the trial did not end; a resume
            trains such a trial again.
        run_id: ID of the MLflow run.
        model_id: ID of the logged model; empty if there is none.
        started_ms: Start of the trial, Unix time in milliseconds.
        ended_ms: End of the trial, Unix time in milliseconds; 0 if it did not end.
    """

    trial: Trial
    result: TrialResult
    run_id: str = ""
    model_id: str = ""
    started_ms: int = 0
    ended_ms: int = 0

    @property
    def completed(self) -> bool:
        """Whether the trial was trained to its end and has a value that can be compared."""
        return self.result.state is TrialState.COMPLETED and self.result.value is not None


def trial_name(searcher: str, number: int) -> str:
    """Returns the name of a search trial, for example ``optuna-007``."""
    return f"{searcher}-{number:03d}"


def config_hash(params: Params) -> str:
    """Hashes a configuration; the order of its hyperparameters does not matter.

    ``0``, ``0.0`` and ``False`` give different hashes. The space gives every value its declared
    type before, so equal configurations have equal hashes.

    Returns:
        Twelve hexadecimal digits.
    """
    text = json.dumps(dict(params), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
