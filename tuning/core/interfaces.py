"""The protocols between the parts of the library: order of calls, threads and exceptions.

The tests of every searcher inherit ``tuning/testing/searchers.py``. The tests of every
executor, including the fake one, inherit ``tuning/testing/executors.py``.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

from tuning.core.trial import Decision, Measurement, Proposal, Trial, TrialRecord, TrialResult


class NoProposal(Enum):
    """Reason why a searcher proposes nothing.

    ``WAIT``: The driver asks again after the next ``tell``. ``EXHAUSTED``: The searcher has no
    more proposals, and the driver does not ask again.
    """

    WAIT = "wait"
    EXHAUSTED = "exhausted"


class Searcher(Protocol):
    """An algorithm that proposes configurations and learns from their results.

    The driver calls a searcher from one thread only. A searcher does no I/O, has no files and does
    not read the clock. It blocks only while its algorithm computes; the first call may also import
    its library::

        searcher.restore(records)                 # once, before the first ask
        proposal = searcher.ask(0)                # numbers 0, 1, 2, … in this order
        searcher.report(0, measurement)           # once per step, in increasing order
        searcher.tell(0, result)                  # once per number, also for failures

    Several trials may be between ``ask`` and ``tell`` at the same time. The driver also calls
    ``tell`` for an interrupted trial; its result says nothing about the configuration.
    """

    @property
    def name(self) -> str:
        """Name of the searcher, unique in the study; default names of its trials begin with it."""
        ...

    def ask(self, number: int) -> Proposal | NoProposal:
        """Proposes the configuration of trial ``number``."""
        ...

    def report(self, number: int, measurement: Measurement) -> Decision:
        """Learns the metrics of one epoch and decides whether the trial continues."""
        ...

    def tell(self, number: int, result: TrialResult) -> None:
        """Learns the result of a trial. Never raises for a well-formed result."""
        ...

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Learns the trials of an earlier run of the same study, before the first ``ask``.

        An interrupted trial is trained again under the same number. It counts as running, and its
        ``report`` and ``tell`` follow later.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The event that an epoch of a running trial ended."""

    name: str
    attempt: int
    measurement: Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The event that an attempt of a trial ended."""

    name: str
    attempt: int
    result: TrialResult


class UploadTarget(Protocol):
    """The destination of a model file; this object is sent to the machine that has the file."""

    def upload(self, file: str) -> None:
        """Uploads a file of this machine to the destination."""
        ...


class Executor(Protocol):
    """Trains trials; every submitted attempt ends with exactly one ``Finished``."""

    @property
    def slots(self) -> int:
        """Number of trials that can be trained at the same time."""
        ...

    @property
    def free_slots(self) -> int:
        """Number of trials that can be submitted now."""
        ...

    def submit(self, trial: Trial) -> None:
        """Starts a trial. Raises RuntimeError if no slot is free."""
        ...

    def poll(self, timeout_s: float) -> Sequence[Measured | Finished]:
        """Waits for events, at most ``timeout_s`` seconds. A failed trial raises no error here.

        Raises:
            StudyFailedError: No worker is left that could train.
        """
        ...

    def reply(self, name: str, decision: Decision) -> None:
        """Sends the decision about a measurement. Ignores unknown and finished trials."""
        ...

    def cancel(self, name: str, reason: str) -> None:
        """Kills the process of a trial; a ``Finished`` still follows. Ignores unknown trials."""
        ...

    def close(self) -> None:
        """Ends all processes of the executor. May be called twice."""
        ...


FindUploadTarget = Callable[[Trial, TrialResult], "Future[UploadTarget | None]"]


@runtime_checkable
class UploadsModels(Protocol):
    """An executor whose trained models stay on remote machines until they are uploaded."""

    def upload_models_to(self, find_target: FindUploadTarget) -> None:
        """Lets the remote machines upload models directly to the artifact store.

        Without this call, every model comes to the driver's machine.

        Args:
            find_target: Function that returns a future of the upload target of a trained model.
                None means that the model is not kept. An exception means that the model has to
                come to the driver's machine instead.
        """
        ...


class TrialListener(Protocol):
    """An object that the driver informs about trials, in order and once per event.

    The methods must not raise and must return quickly. Slow work belongs in a separate thread.
    """

    def trial_started(self, trial: Trial) -> None:
        """Learns that a trial starts; ``attempt`` is above 0 for a retry and after a resume."""
        ...

    def measured(self, trial: Trial, measurement: Measurement) -> None:
        """Learns the metrics of one epoch."""
        ...

    def trial_finished(self, trial: Trial, result: TrialResult) -> None:
        """Learns the end of a trial; called once per trial, after all retries."""
        ...


class Tracker(TrialListener, Protocol):
    """A listener that keeps the record of a study.

    The same (trial, attempt, step) may arrive twice; the second time changes nothing. While the
    store is unavailable, the tracker queues and retries its writes and raises nothing in the
    driver's loop.
    """

    def flush(self) -> None:
        """Blocks until the store has all events so far. Raises if it stays unavailable."""
        ...

    def close(self) -> None:
        """Flushes, and ends the threads of the tracker. May be called twice."""
        ...
