"""Threads that write to the store, so that the training does not wait for it."""

import logging
import queue
import threading
import zlib
from collections.abc import Callable

from tuning.tracking.retry import RetryPolicy, TrackerError, summary_line
from tuning.tracking.store import is_server

# Threads that write to a server: most of the time they wait for its answers.
SERVER_WRITERS = 4

_Operation = Callable[[], None]

_log = logging.getLogger(__name__)


def writers_of(tracking_uri: str) -> int:
    """Returns the number of threads that write to a store. A database file takes one at a time."""
    return SERVER_WRITERS if is_server(tracking_uri) else 1


class Writers:
    """Threads that run operations. Operations of the same name run in the order of ``put``.

    Args:
        count: Number of threads.
        retry_policy: Retry policy for the store.
        on_failure: Callback without arguments. It is called once, from one of the threads, when
            an operation fails for good.
    """

    def __init__(
        self, count: int, retry_policy: RetryPolicy, on_failure: Callable[[], None]
    ) -> None:
        self._retry_policy = retry_policy
        self._on_failure = on_failure
        self._error: Exception | None = None
        self._failing = threading.Lock()
        self._queues: list[queue.Queue[_Operation | None]] = [queue.Queue() for _ in range(count)]
        self._threads = [
            threading.Thread(
                target=self._work, args=(operations,), name="tuning-tracker", daemon=True
            )
            for operations in self._queues
        ]
        for thread in self._threads:
            thread.start()

    def put(self, name: str, operation: _Operation) -> None:
        """Adds an operation. It runs after all earlier operations of the same name."""
        self._queues[zlib.crc32(name.encode()) % len(self._queues)].put(operation)

    def flush(self) -> None:
        """Blocks until all operations have run.

        Raises:
            TrackerError: The threads have given up, so some operations have not run.
        """
        for operations in self._queues:
            operations.join()
        self.raise_error()

    def raise_error(self) -> None:
        """Raises TrackerError if the threads have given up."""
        if self._error is not None:
            raise TrackerError(str(self._error)) from self._error

    def give_up(self, error: Exception) -> bool:
        """Runs no further operations. Returns False if the threads had already given up."""
        with self._failing:
            first, self._error = self._error is None, self._error or error
        return first

    def close(self) -> None:
        """Runs all remaining operations, and ends the threads."""
        for operations, thread in zip(self._queues, self._threads, strict=True):
            if thread.is_alive():
                operations.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, operations: "queue.Queue[_Operation | None]") -> None:
        while (operation := operations.get()) is not None:
            if self._error is None:
                self._try(operation)
            operations.task_done()
        operations.task_done()

    def _try(self, operation: _Operation) -> None:
        try:
            # Checked before every attempt: meanwhile another driver may have taken the study over.
            self._retry_policy(lambda: None if self._error else operation())
        except Exception as error:
            if self.give_up(error):
                _log.error("the record of the study cannot be written: %s", summary_line(error))
                self._on_failure()
