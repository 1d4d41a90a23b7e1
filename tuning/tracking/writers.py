"""Threads that write to the store, so that nobody who trains waits for it."""

import logging
import queue
import threading
import zlib
from collections.abc import Callable

from tuning.tracking.retry import RetryPolicy, TrackerError, summary_line
from tuning.tracking.store import is_server

# Writers of a server: most of a write is waiting for its answer.
SERVER_WRITERS = 4

_Operation = Callable[[], None]

_log = logging.getLogger(__name__)


def writers_of(tracking_uri: str) -> int:
    """How many threads write to a store; one to a file, which takes one writer at a time."""
    return SERVER_WRITERS if is_server(tracking_uri) else 1


class Writers:
    """Threads that carry out operations; those of one name in the order in which they came.

    Args:
        count: How many threads.
        patience: With the store.
        on_failure: Called once, from one of the threads, when they give up.
    """

    def __init__(self, count: int, patience: RetryPolicy, on_failure: Callable[[], None]) -> None:
        self._patience = patience
        self._on_failure = on_failure
        self._error: Exception | None = None
        self._failing = threading.Lock()
        self._queues: list[queue.Queue[_Operation | None]] = [queue.Queue() for _ in range(count)]
        self._threads = [
            threading.Thread(
                target=self._work, args=(waiting,), name="tuning-tracker", daemon=True
            )
            for waiting in self._queues
        ]
        for thread in self._threads:
            thread.start()

    def put(self, name: str, operation: _Operation) -> None:
        """Has an operation carried out after all earlier ones of its name."""
        self._queues[zlib.crc32(name.encode()) % len(self._queues)].put(operation)

    def flush(self) -> None:
        """Blocks until everything is written.

        Raises:
            TrackerError: The store stayed away.
        """
        for waiting in self._queues:
            waiting.join()
        self.raise_error()

    def raise_error(self) -> None:
        """Raises TrackerError if the threads have given up."""
        if self._error is not None:
            raise TrackerError(str(self._error)) from self._error

    def give_up(self, error: Exception) -> bool:
        """Has nothing written any more; False if that was so already."""
        with self._failing:
            first, self._error = self._error is None, self._error or error
        return first

    def close(self) -> None:
        """Has everything written and ends the threads."""
        for waiting, thread in zip(self._queues, self._threads, strict=True):
            if thread.is_alive():
                waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, waiting: "queue.Queue[_Operation | None]") -> None:
        while (operation := waiting.get()) is not None:
            if self._error is None:
                self._try(operation)
            waiting.task_done()
        waiting.task_done()

    def _try(self, operation: _Operation) -> None:
        try:
            # Looked at before every attempt: another driver may own the run by then.
            self._patience(lambda: None if self._error else operation())
        except Exception as error:
            if self.give_up(error):
                _log.error("the record cannot be written: %s", summary_line(error))
                self._on_failure()
