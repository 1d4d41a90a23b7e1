"""The contracts between the parts: who calls, in which order, and what may be raised.

Every implementation, the fakes of the tests included, inherits the tests in ``tests/contract``.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tuning.core.trial import Decision, Measurement, Proposal, Trial, TrialRecord, TrialResult

if TYPE_CHECKING:
    pass


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


class UploadTarget(Protocol):
    """Where the file of a trained model goes; it travels to the machine that has the file."""

    def upload(self, file: str) -> None:
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


FindUploadTarget = Callable[[Trial, TrialResult], "Future[UploadTarget | None]"]


@runtime_checkable
class UploadsModels(Protocol):
    """What an executor has besides whose trials leave their models on other machines."""

    def upload_models_to(self, find_target: FindUploadTarget) -> None:
        """Has those machines take models to the artifact store.

        Args:
            find_target: Says, in its own time, where a trained model goes. None stands for
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
