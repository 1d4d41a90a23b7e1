"""What the user asks of a running study: end after the running epochs, or end now."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

# On Ctrl-C, which reaches this process too, `mlflow run` passes a SIGTERM on.
SAME_REQUEST_SECONDS = 3.0


@dataclass
class StopSignal:
    """What the user asked for.

    Attributes:
        level: 0 nothing, 1 end after the running epochs, 2 end now.
        in_loop: Whether a driver looks at it; nobody else does.
    """

    level: int = 0
    in_loop: bool = False

    def end_now(self) -> None:
        """Asks for an end without waiting for the running epochs."""
        self.level = 2


@contextmanager
def listening(stop: StopSignal) -> Iterator[None]:
    """The first Ctrl-C ends the running epochs, the second everything; so does SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    asked_at = -SAME_REQUEST_SECONDS

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked_at
        now = time.monotonic()
        if number == signal.SIGTERM and now - asked_at < SAME_REQUEST_SECONDS:
            return
        asked_at = now
        stop.level = stop.level + 1 if number == signal.SIGINT else 2
        if not stop.in_loop or stop.level > 2:
            raise KeyboardInterrupt
        if stop.level == 1:
            # Not print: this may have come in the middle of one.
            with suppress(OSError):
                os.write(2, b"\nStopping after the running epochs; again to stop now.\n")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
