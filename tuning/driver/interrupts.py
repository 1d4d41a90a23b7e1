"""Requests of the user to stop a study: after the running epochs, or at once."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from tuning.core.errors import InterruptedStudyError

# On Ctrl-C, this process gets the SIGINT, and soon after a SIGTERM from `mlflow run`.
SAME_REQUEST_SECONDS = 3.0


@dataclass
class StopSignal:
    """A request to stop the study, usually from the user.

    Attributes:
        level: Level of the request: 0 for none, 1 for an end after the running epochs, 2 for an
            end at once.
        in_loop: Whether a driver runs and checks the level regularly.
    """

    level: int = 0
    in_loop: bool = False

    def end_now(self) -> None:
        """Requests an end that does not wait for the running epochs."""
        self.level = 2


@contextmanager
def listening(stop: StopSignal) -> Iterator[None]:
    """Handles Ctrl-C and SIGTERM; outside the main thread it does nothing.

    The first Ctrl-C requests an end after the running epochs. The second Ctrl-C or a SIGTERM
    requests an end at once. The third Ctrl-C raises KeyboardInterrupt; if no driver runs, every
    signal does so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    asked_at, raised = -SAME_REQUEST_SECONDS, False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked_at, raised
        now = time.monotonic()
        if number == signal.SIGTERM and now - asked_at < SAME_REQUEST_SECONDS:
            return
        asked_at = now
        stop.level = stop.level + 1 if number == signal.SIGINT else 2
        if not stop.in_loop or stop.level > 2:
            raised = True
            raise KeyboardInterrupt
        if stop.level == 1:
            # Not print: the signal may arrive while another print runs.
            with suppress(OSError):
                os.write(2, b"\nStopping after the running epochs; Ctrl-C again stops now.\n")

    earlier = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Exception as error:
        # The exception may have come in the middle of a transaction, which then raised its own.
        if raised and not isinstance(error, InterruptedStudyError):
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
