"""Ensures that a study has one driver only, also across machines, by a heartbeat in its record.

The clocks of two machines may differ, so the heartbeat is a count and not a time. A driver is
alive if its count increases while another process watches it.
"""

import logging
import platform
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tuning.core.errors import BadInputError
from tuning.tracking import keys
from tuning.tracking.reader import get_run
from tuning.tracking.retry import RetryPolicy

if TYPE_CHECKING:
    from mlflow import MlflowClient

HEARTBEAT_SECONDS = 30.0
WATCH_SECONDS = 80.0
_LOOK_SECONDS = 5.0
_SETTLE_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Heartbeat:
    """The claim of this process on a study.

    Args:
        client: Client of the MLflow store.
        run_id: Id of the parent run.
        machine_id: Name of the folder whose lock this process holds.
        last_heartbeat: Last heartbeat of a dead driver, as ``check_abandoned`` returns it. Any
            other heartbeat in the record belongs to a driver that is alive.
        interval_s: Seconds between two heartbeats.

    Attributes:
        lost: Whether another driver has taken over the study. If so, this process must not write
            to the record any more.
    """

    def __init__(
        self,
        client: "MlflowClient",
        run_id: str,
        machine_id: str,
        last_heartbeat: str = "",
        interval_s: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._client = client
        self._run_id = run_id
        self._interval_s = interval_s
        self._last_heartbeat = last_heartbeat
        self._driver_id = f"{_this_machine(machine_id)} {uuid.uuid4().hex}"
        self._stopped = threading.Event()
        self.lost = False

    @contextmanager
    def kept(self, on_lost: Callable[[], None]) -> Iterator[None]:
        """Claims the study, writes heartbeats in a thread, and releases the study at the end.

        Args:
            on_lost: Callback without arguments. It is called once, from the heartbeat's thread,
                if another driver has taken over the study.

        Raises:
            BadInputError: Another driver claimed the study after it was checked.
        """
        RetryPolicy()(self._claim)
        thread = threading.Thread(target=self._beat, args=[on_lost], name="tuning-heartbeat")
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()
            if not self.lost:
                self._release()

    def _claim(self) -> None:
        current = self._read()
        # If the answer to an earlier attempt was lost, the tag already has this driver's id.
        if current not in ("", self._last_heartbeat) and not self._is_own(current):
            raise _still_running(self._run_id, current)
        self._write(0)

    def _release(self) -> None:
        try:
            if self._is_own(self._read()):
                self._client.delete_tag(self._run_id, keys.DRIVER)
        except Exception as error:  # without new heartbeats the driver counts as dead
            _log.debug("the heartbeat tag of the study could not be removed: %s", error)

    def _beat(self, on_lost: Callable[[], None]) -> None:
        count = 0
        # The first check is early: if two drivers claim the study at the same time, the tag of
        # the second replaces the tag of the first.
        while not self._stopped.wait(
            self._interval_s if count else min(self._interval_s, _SETTLE_SECONDS)
        ):
            count += 1
            try:
                if not self._is_own(self._read()):  # empty: the other driver has already ended
                    self.lost = True
                    on_lost()
                    return
                self._write(count)
            except Exception as error:  # the tracker decides when an outage ends the study
                _log.debug("the heartbeat could not be written: %s", error)

    def _is_own(self, heartbeat: str) -> bool:
        return heartbeat.startswith(self._driver_id)

    def _read(self) -> str:
        return _read_heartbeat(self._client, self._run_id)

    def _write(self, count: int) -> None:
        self._client.set_tag(self._run_id, keys.DRIVER, f"{self._driver_id} {count}")


def _print_to_stderr(text: str) -> None:
    # Standard output may carry JSON.
    print(text, file=sys.stderr, flush=True)


def check_abandoned(
    client: "MlflowClient",
    run_id: str,
    machine_id: str,
    say: Callable[[str], None] = _print_to_stderr,
    sleep: Callable[[float], None] = time.sleep,
    watch_s: float = WATCH_SECONDS,
) -> str:
    """Checks that no driver on another machine runs the study.

    Another driver on this machine is excluded by the lock that this process holds.

    Args:
        client: Client of the MLflow store.
        run_id: Id of the parent run.
        machine_id: Name of the folder whose lock this process holds.
        say: Function that shows a message to the user.
        sleep: Function that waits for a number of seconds.
        watch_s: Seconds without a new heartbeat after which a driver counts as dead.

    Returns:
        The last heartbeat of the dead driver; empty if no driver holds the study.

    Raises:
        BadInputError: The study's driver is alive, or there is no such run.
    """
    last = _read_heartbeat(client, run_id)
    if not last or last.startswith(_this_machine(machine_id)):
        return last
    host = last.split(" ")[0]
    say(f"the study was running on {host}; checking for {watch_s:g} s if it is still running …")
    waited = 0.0
    while waited < watch_s:
        sleep(_LOOK_SECONDS)
        waited += _LOOK_SECONDS
        current = _read_heartbeat(client, run_id)
        if not current:
            return ""
        if current != last:
            raise _still_running(run_id, current)
    return last


def _read_heartbeat(client: "MlflowClient", run_id: str) -> str:
    return str(get_run(client, run_id).data.tags.get(keys.DRIVER, ""))


def _this_machine(machine_id: str) -> str:
    return f"{platform.node()} {machine_id}"


def _still_running(run_id: str, heartbeat: str) -> BadInputError:
    host = heartbeat.split(" ")[0]
    return BadInputError(
        f"resume: the study of run {run_id} is running on {host}; "
        "stop it there, or wait until it has ended"
    )
