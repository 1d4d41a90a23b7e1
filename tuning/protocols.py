"""The contracts between the parts: who calls, in which order, and what may be raised.

Every implementation, the fakes of the tests included, inherits the tests in ``tests/contract``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from tuning.trial import Decision, Measurement, Proposal, Trial, TrialRecord, TrialResult

if TYPE_CHECKING:
    import keras
    import numpy as np


class NoProposal(Enum):
    """Why a searcher has nothing to propose.

    ``WAIT``: ask again after the next ``tell``. ``EXHAUSTED``: never ask again.
    """

    WAIT = "wait"
    EXHAUSTED = "exhausted"


class Searcher(Protocol):
    """Proposes configurations and learns from their results.

    The driver calls it from one thread only. A searcher does no I/O, owns no files, knows no
    clock, and never blocks for longer than its algorithm computes; the first call may import it::

        searcher.restore(records)                 # once, before the first ask
        proposal = searcher.ask(0)                # numbers 0, 1, 2, … in order
        searcher.report(0, measurement)           # once a step, steps increasing
        searcher.tell(0, result)                  # once a number, also for failures

    Several numbers may be between ``ask`` and ``tell`` at once. An interrupted trial is told too;
    it says nothing about its configuration.
    """

    @property
    def name(self) -> str:
        """Unique in the study, and the prefix of its trials' names."""
        ...

    def ask(self, number: int) -> Proposal | NoProposal:
        """Proposes the configuration of trial ``number``."""
        ...

    def report(self, number: int, measurement: Measurement) -> Decision:
        """Learns one epoch and decides whether the trial goes on."""
        ...

    def tell(self, number: int, result: TrialResult) -> None:
        """Learns the end of a trial. Never raises for any well-formed result."""
        ...

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Learns the trials of an earlier run of the same study, before the first ask.

        An interrupted one will be trained again under its number, so it counts as running and is
        reported and told later.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """An epoch of a running trial ended."""

    name: str
    attempt: int
    measurement: Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An attempt ended."""

    name: str
    attempt: int
    result: TrialResult


class Destination(Protocol):
    """Where the file of a trained model goes; it travels to the machine that has the file."""

    def take(self, file: str) -> None:
        """Takes a file of this machine there."""
        ...


class Executor(Protocol):
    """Trains trials somewhere; exactly one ``Finished`` per submitted attempt, always."""

    @property
    def slots(self) -> int:
        """How many trials can be trained at once."""
        ...

    @property
    def free_slots(self) -> int:
        """How many trials can be submitted now."""
        ...

    def submit(self, trial: Trial) -> None:
        """Starts a trial. Raises RuntimeError if no slot is free."""
        ...

    def poll(self, timeout_s: float) -> Sequence[Measured | Finished]:
        """Waits for events, at most ``timeout_s`` seconds. Never raises because of a trial.

        Raises:
            StudyFailedError: There is nothing left to train on.
        """
        ...

    def reply(self, name: str, decision: Decision) -> None:
        """Answers a measurement. Ignored for unknown or finished trials."""
        ...

    def cancel(self, name: str, reason: str) -> None:
        """Kills a trial's process. A ``Finished`` still follows. Ignored for unknown trials."""
        ...

    def close(self) -> None:
        """Leaves no process behind. May be called twice."""
        ...


Destinations = Callable[[Trial, TrialResult], "Future[Destination | None]"]


@runtime_checkable
class Delivering(Protocol):
    """What an executor has besides whose trials leave their models on other machines."""

    def deliver_to(self, destinations: Destinations) -> None:
        """Has those machines take models to the artifact store.

        Args:
            destinations: Says, in its own time, where a trained model goes. None stands for
                nowhere, an exception for this machine, where all of them go otherwise.
        """
        ...


class TrialListener(Protocol):
    """Is told by the driver what happens to trials, in order, each fact once.

    Must not raise and must not block for long: what takes time belongs in a thread of its own.
    """

    def trial_started(self, trial: Trial) -> None:
        """A trial was submitted (again, with ``attempt`` > 0, after the loss of a worker)."""
        ...

    def measured(self, trial: Trial, measurement: Measurement) -> None:
        """An epoch ended."""
        ...

    def trial_finished(self, trial: Trial, result: TrialResult) -> None:
        """The trial reached its end; called once a trial, after any retries."""
        ...


class Tracker(TrialListener, Protocol):
    """Keeps the record of a study.

    Idempotent by (trial, attempt, step). An outage of the store is queued and retried, never
    raised into the driver's loop.
    """

    def flush(self) -> None:
        """Blocks until everything told so far is in the store. Raises if the store stays away."""
        ...

    def close(self) -> None:
        """Flushes and releases the thread. May be called twice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DataInfo:
    """What a study is trained on.

    Attributes:
        label: Short name that goes into run tags and selects a profile of the study.
        name: Name for people.
        source: Path or address it came from.
        digest: Hexadecimal digest of raw data and preprocessing.
        sizes: Examples by split.
        warning: A sentence to be shown loudly, or empty.
        cannot_serve: Why no model of raw input can be registered, or empty.
    """

    label: str
    name: str
    source: str
    digest: str
    sizes: Mapping[str, int]
    warning: str = ""
    cannot_serve: str = ""


Split = Literal["search", "test"]
Examples = tuple["np.ndarray", "np.ndarray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """The files from which MLflow makes a model of raw input.

    Attributes:
        code: A Python file in MLflow's models-from-code form that imports nothing of the project.
        artifacts: Local files by the name under which the code finds them.
        input_column: Name of the text column.
        outputs: MLflow type by output column, in order.
        input_example: A few values of the input column.
        pip_requirements: Exact requirements of ``code``.
        intended_use: What it is for, in a sentence or two; goes into the model card.
        limits: What it should not be trusted with, a sentence each.
    """

    code: Path
    artifacts: Mapping[str, Path]
    input_column: str
    outputs: Mapping[str, str]
    input_example: Sequence[str]
    pip_requirements: Sequence[str]
    intended_use: str = ""
    limits: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """A capability that models are tested for with inputs made for it.

    Attributes:
        name: In words.
        expects: The class of every input (``positive``, ``negative``), or what a change of the
            input does to it: the class stays the ``same``, or its probability gets ``higher`` or
            ``lower``.
        example: One test, for people.
        inputs: As the model takes them, of shape (tests, …).
        changed: The same inputs after the change; None if there is none.
    """

    name: str
    expects: Literal["positive", "negative", "same", "higher", "lower"]
    example: str
    inputs: "np.ndarray"
    changed: "np.ndarray | None" = None


@runtime_checkable
class Described(Protocol):
    """What a task may tell of its test split beside its examples; the report shows it."""

    def test_lengths(self) -> "np.ndarray | None":
        """The length of each input, of shape (examples,); None if they have none."""
        ...

    def test_texts(self, indexes: Sequence[int]) -> Mapping[int, str]:
        """The inputs at these positions, as people read them; those that are known."""
        ...

    def behaviours(self) -> Sequence[Behaviour]:
        """Further tests of what a model can do."""
        ...

    def yardsticks(self) -> "Mapping[str, np.ndarray]":
        """What simple models say of the test split: probabilities of class 1, by their names."""
        ...


class Task(Protocol):
    """What is tuned: the data and the model. A user of another model writes one of these.

    Constructed as ``TaskClass(dataset=…, cache_dir=…, **study.task_options)``, in the driver and
    again in every worker; the constructor must be cheap. In a worker Keras itself does without
    scikit-learn, Matplotlib and pandas (``tuning.keras_import``): data are arrays.
    """

    def prepare(self) -> DataInfo:
        """Makes the data ready on this machine; called once in the driver, before any worker.

        Raises:
            BadInputError: If the data cannot be had or is not what it should be.
        """
        ...

    def worker_options(self) -> Mapping[str, object]:
        """Constructor arguments for the workers' copy, known after ``prepare``.

        A ``pathlib.Path`` among them is a file or folder that workers read. An executor whose
        workers are on other machines sends it there, and tells them the path that it has there.
        """
        ...

    def load(self, split: Split) -> Mapping[str, Examples]:
        """Loads a split: ``search`` has the parts train and validation, ``test`` has test.

        Only the final evaluation asks for ``test``.
        """
        ...

    def build(self, params: Mapping[str, object]) -> "keras.Model":
        """Builds a compiled model.

        On JAX, programs that are compiled meanwhile are not optimised, since they run once, to
        draw weights. What is to run often belongs into ``load`` or the training.

        Raises:
            InfeasibleError: If these params cannot make one.
        """
        ...

    def serve(self, model_file: Path, folder: Path) -> ServedModel:
        """Writes into ``folder`` what a model of raw input needs around a trained ``.keras``."""
        ...
