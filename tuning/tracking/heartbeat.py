"""One driver per study, also across machines: the record says which, and that it is alive.

The clocks of two machines need not agree: a driver is alive if its count goes on while another
process watches it.
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
    """Holds a study for this process.

    Args:
        client: A client of the store.
        run_id: The parent run.
        machine_id: The name of the folder whose lock this process holds.
        last_heartbeat: The last heartbeat of a driver that was found dead; any other belongs to a
            driver that is alive.
        interval_s: Seconds between two heartbeats.

    Attributes:
        lost: Whether another driver has taken the study over; only that one may write now.
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
        self._over = threading.Event()
        self.lost = False

    @contextmanager
    def kept(self, on_lost: Callable[[], None]) -> Iterator[None]:
        """Writes heartbeats; releases the study at the end.

        Args:
            on_lost: Called once, from another thread, if another driver has taken over.

        Raises:
            BadInputError: Another driver has taken the study in the meantime.
        """
        RetryPolicy()(self._claim)
        thread = threading.Thread(target=self._beat, args=[on_lost], name="tuning-heartbeat")
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            if not self.lost:
                self._release()

    def _claim(self) -> None:
        current = self._read()
        # It may be our own, if the answer to an earlier attempt was lost.
        if current not in ("", self._last_heartbeat) and not self._is_ours(current):
            raise _still_running(self._run_id, current)
        self._write(0)

    def _release(self) -> None:
        try:
            if self._is_ours(self._read()):
                self._client.delete_tag(self._run_id, keys.DRIVER)
        except Exception as error:  # a count that stands still is soon taken for dead
            _log.debug("the study could not be released: %s", error)

    def _beat(self, on_lost: Callable[[], None]) -> None:
        count = 0
        # The first look is soon: of two drivers that took the study at the same time, the other
        # may not have written yet.
        while not self._over.wait(
            self._interval_s if count else min(self._interval_s, _SETTLE_SECONDS)
        ):
            count += 1
            try:
                if not self._is_ours(self._read()):  # empty: the other driver is done already
                    self.lost = True
                    on_lost()
                    return
                self._write(count)
            except Exception as error:  # an outage is for the tracker to judge
                _log.debug("no heartbeat could be written: %s", error)

    def _is_ours(self, heartbeat: str) -> bool:
        return heartbeat.startswith(self._driver_id)

    def _read(self) -> str:
        return _read_heartbeat(self._client, self._run_id)

    def _write(self, count: int) -> None:
        self._client.set_tag(self._run_id, keys.DRIVER, f"{self._driver_id} {count}")


def _print_to_stderr(text: str) -> None:
    # The standard output may be a stream of JSON.
    print(text, file=sys.stderr, flush=True)


def check_abandoned(
    client: "MlflowClient",
    run_id: str,
    machine_id: str,
    say: Callable[[str], None] = _print_to_stderr,
    sleep: Callable[[float], None] = time.sleep,
    watch_s: float = WATCH_SECONDS,
) -> str:
    """Refuses a study that another machine drives; for this machine there is a lock.

    Args:
        client: A client of the store.
        run_id: The parent run.
        machine_id: The name of the folder whose lock this process holds.
        say: Tells the user why it takes so long.
        sleep: Waits a number of seconds.
        watch_s: Seconds for which a driver may be silent.

    Returns:
        The last heartbeat of the driver that is gone; empty if it released the study.

    Raises:
        BadInputError: Its driver is alive, or there is no such run.
    """
    last = _read_heartbeat(client, run_id)
    if not last or last.startswith(_this_machine(machine_id)):
        return last
    host = last.split(" ")[0]
    say(f"{host} was driving this study; watching for {watch_s:g} s whether it still is …")
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
    return BadInputError(f"resume: the study of run {run_id} is running on {host}")
