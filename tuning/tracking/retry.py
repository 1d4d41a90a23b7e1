"""Waits out an outage of MLflow's store: what it refuses, and what only needs time."""

import errno
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tuning.core.errors import TuningError, redact

if TYPE_CHECKING:
    from mlflow import MlflowClient

RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
OUTAGE_SECONDS = 600.0
MAX_LINE = 200
_MLFLOW_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_PASSING_CODES = (
    "INTERNAL_ERROR",
    "TEMPORARILY_UNAVAILABLE",
    "REQUEST_LIMIT_EXCEEDED",
    "DEADLINE_EXCEEDED",
)
_PASSING_STATUS = (408, 425, 429)

_log = logging.getLogger(__name__)

T = TypeVar("T")


class TrackerError(TuningError):
    """The store stayed away for longer than anybody waits, or refuses to be written."""


class RetryPolicy:
    """Tries an operation again until the store is back.

    The operation has to find out by itself what an attempt with a lost answer has done already.

    Args:
        outage_s: How long one operation is tried, in seconds of waiting.
        sleep: Waits a number of seconds.
    """

    def __init__(
        self, outage_s: float = OUTAGE_SECONDS, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._outage_s = outage_s
        self._sleep = sleep

    def __call__(self, operation: Callable[[], T]) -> T:
        """Returns what the operation returns.

        Raises:
            TrackerError: The store stayed away, or cannot be written at all.
            Exception: What else the operation raises, at once.
        """
        waited = 0.0
        delays = chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1]))
        while True:
            try:
                return operation()
            except Exception as error:
                if is_permission_error(error):
                    raise TrackerError(
                        f"MLflow's store cannot be written: {summary_line(error)}"
                    ) from error
                if not is_transient(error):
                    raise
                delay = next(delays)
                if waited + delay > self._outage_s:
                    raise TrackerError(
                        f"MLflow's store could not be used for {self._outage_s:g} s: "
                        f"{summary_line(error)}"
                    ) from error
                _log.warning(
                    "MLflow's store does not answer (%s); again in %g s",
                    summary_line(error),
                    delay,
                )
                self._sleep(delay)
                waited += delay


def retrying(client: "MlflowClient", patience: RetryPolicy | None = None) -> "MlflowClient":
    """A client whose every call waits out an outage; for calls that may be repeated."""
    return cast("MlflowClient", _RetryingClient(client, patience or RetryPolicy()))


class _RetryingClient:
    def __init__(self, client: "MlflowClient", patience: RetryPolicy) -> None:
        self._client = client
        self._patience = patience

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        if not callable(attribute):
            return attribute

        @wraps(attribute)
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._patience(lambda: attribute(*args, **kwargs))

        return call


@contextmanager
def without_mlflow_retries() -> Iterator[None]:
    """Keeps MLflow from sending a request again whose answer was lost.

    It would repeat the creation of a run too, and leave two. Who set the variable knows why.
    """
    if _MLFLOW_RETRIES in os.environ:
        yield
        return
    os.environ[_MLFLOW_RETRIES] = "0"
    try:
        yield
    finally:
        os.environ.pop(_MLFLOW_RETRIES, None)


def summary_line(error: Exception) -> str:
    """The line of a message that says it: SQLAlchemy's and urllib3's have it in their middle."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = next((line for line in lines if line.startswith("(sqlite3.")), lines[0])
    if request := re.match(r"API request to (\S+) failed", line):
        reasons = re.findall(r"'([^'()]{6,})'", line)
        line = f"{request[1]}: {reasons[-1] if reasons else 'no answer'}"
    line = redact(line)
    return line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}…"


def is_transient(error: Exception) -> bool:
    """Whether waiting may help: the store is away, busy or full, rather than refusing."""
    from mlflow.exceptions import MlflowException

    if is_permission_error(error):
        return False
    if isinstance(error, MlflowException):
        # MLflow calls a download that was cut off an invalid parameter.
        return error.error_code in _PASSING_CODES or "Failed to download" in str(error)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return bool(status >= 500 or status in _PASSING_STATUS)
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)


def is_store_error(error: Exception) -> bool:
    """Whether an error says something about the store, and not about what was to be written."""
    return is_transient(error) or is_permission_error(error)


def is_permission_error(error: Exception) -> bool:
    """Whether the store is there and may not be written."""
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return True
    return "readonly database" in str(error)
