"""Retries operations during an outage of MLflow's store."""

import errno
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
# MLflow looks for a row and then creates it. If two processes do so at once, one of them fails,
# and finds the row at its next attempt. The messages are of SQLite, PostgreSQL and MySQL.
_CREATED_TWICE = re.compile(r"UNIQUE constraint failed|duplicate key value|Duplicate entry")

_log = logging.getLogger(__name__)

T = TypeVar("T")


class TrackerError(TuningError):
    """An error of the store: it was unavailable for too long, or it cannot be written."""


class RetryPolicy:
    """A policy that repeats an operation until the store is available again.

    The answer to an attempt may be lost after the attempt has changed the store. The operation
    itself has to detect this.

    Args:
        outage_s: Maximum total waiting time for one operation, in seconds.
        sleep: Function that waits for a number of seconds.
    """

    def __init__(
        self, outage_s: float = OUTAGE_SECONDS, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._outage_s = outage_s
        self._sleep = sleep

    def __call__(self, operation: Callable[[], T]) -> T:
        """Runs the operation and returns its result.

        Raises:
            TrackerError: The store is unavailable for too long, or it cannot be written.
            Exception: The operation raised another error, which is not retried.
        """
        waited = 0.0
        delays = chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1]))
        while True:
            try:
                return operation()
            except Exception as error:
                if is_permission_error(error):
                    raise TrackerError(
                        f"MLflow's store cannot be written: {summary_line(error)}; "
                        "check its permissions"
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
                    "MLflow's store does not answer (%s); the next attempt is in %g s",
                    summary_line(error),
                    delay,
                )
                self._sleep(delay)
                waited += delay


def retrying(client: "MlflowClient", retry_policy: RetryPolicy | None = None) -> "MlflowClient":
    """Returns a client that retries each call in an outage, for calls that may be repeated."""
    return cast("MlflowClient", _RetryingClient(client, retry_policy or RetryPolicy()))


def like(client: "MlflowClient", operation: Callable[[], T]) -> T:
    """Runs an operation with the retries of a client, or once if the client has none."""
    if isinstance(client, _RetryingClient):
        return client.retry_policy(operation)
    return operation()


class _RetryingClient:
    def __init__(self, client: "MlflowClient", retry_policy: RetryPolicy) -> None:
        self._client = client
        self.retry_policy = retry_policy

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        if not callable(attribute):
            return attribute

        @wraps(attribute)
        def call(*args: Any, **kwargs: Any) -> Any:
            return self.retry_policy(lambda: attribute(*args, **kwargs))

        return call


@contextmanager
def mlflow_retries(count: str) -> Iterator[None]:
    """Sets how often MLflow repeats a request to a server."""
    before = os.environ.get(_MLFLOW_RETRIES)
    os.environ[_MLFLOW_RETRIES] = count
    try:
        yield
    finally:
        if before is None:
            del os.environ[_MLFLOW_RETRIES]
        else:
            os.environ[_MLFLOW_RETRIES] = before


def without_mlflow_retries() -> AbstractContextManager[None]:
    """Turns off MLflow's retries, unless the user has set their number.

    MLflow repeats a request whose answer was lost. If the request creates a run, this makes two.
    """
    return mlflow_retries(os.environ.get(_MLFLOW_RETRIES, "0"))


def or_none(read: Callable[[], T]) -> T | None:
    """Returns what a call reads; None if the store has no such thing. An outage is an error."""
    from mlflow.exceptions import MlflowException

    try:
        return read()
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def summary_line(error: Exception) -> str:
    """Returns the line of an error message that states the cause.

    SQLAlchemy and urllib3 put the cause in the middle of the message.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = next((line for line in lines if line.startswith("(sqlite3.")), lines[0])
    if request := re.match(r"API request to (\S+) failed", line):
        reasons = re.findall(r"'([^'()]{6,})'", line)
        line = f"{request[1]}: {reasons[-1] if reasons else 'no answer'}"
    line = redact(line)
    return line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}…"


def is_transient(error: Exception) -> bool:
    """Returns whether a retry may help: the store is unavailable, busy or full."""
    from mlflow.exceptions import MlflowException

    if is_permission_error(error):
        return False
    if isinstance(error, MlflowException) and error.error_code == "RESOURCE_ALREADY_EXISTS":
        return False  # an answer, although its text may quote the database
    if _CREATED_TWICE.search(str(error)):
        return True
    if isinstance(error, MlflowException):
        # MLflow reports an interrupted download, or another interrupted request, as an invalid
        # parameter.
        cause = error.__cause__
        return (
            error.error_code in _PASSING_CODES
            or "Failed to download" in str(error)
            or (isinstance(cause, Exception) and is_transient(cause))
        )
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return bool(status >= 500 or status in _PASSING_STATUS)
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)


def is_store_error(error: Exception) -> bool:
    """Returns whether the cause of an error is the store, and not the data to be written."""
    return is_transient(error) or is_permission_error(error)


def is_permission_error(error: Exception) -> bool:
    """Returns whether the store is available, but this process has no permission to write."""
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return True
    return "readonly database" in str(error)
