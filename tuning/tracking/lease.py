"""One driver a study, also across machines: the record says who drives, and that it is alive.

The clocks of two machines need not agree: a driver is alive if its count goes on while somebody
watches it.
"""

import logging
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tuning.errors import BadInputError
from tuning.tracking import names
from tuning.tracking.patience import Patience
from tuning.tracking.record import get_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

BEAT_SECONDS = 30.0
WATCH_SECONDS = 80.0
_LOOK_SECONDS = 5.0
_SETTLE_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Lease:
    """Holds a study for this process.

    Args:
        client: Of the store.
        run_id: The parent run.
        place: Names the folder whose lock this process holds.
        seen: The sign of life of a driver that was found dead; any other is of one that lives.
        beat_s: Seconds between two signs of life.

    Attributes:
        lost: Whether another driver has taken the study over, which is its to write now.
    """

    def __init__(
        self,
        client: "MlflowClient",
        run_id: str,
        place: str,
        seen: str = "",
        beat_s: float = BEAT_SECONDS,
    ) -> None:
        self._client = client
        self._run_id = run_id
        self._beat_s = beat_s
        self._seen = seen
        self._holder = f"{_here(place)} {uuid.uuid4().hex}"
        self._over = threading.Event()
        self.lost = False

    @contextmanager
    def held(self, on_lost: Callable[[], None]) -> Iterator[None]:
        """Gives signs of life; gives the study back at the end.

        Args:
            on_lost: Called once, from another thread, if another driver has taken over.

        Raises:
            BadInputError: Another driver has taken the study in the meantime.
        """
        Patience()(self._claim)
        thread = threading.Thread(target=self._beat, args=[on_lost], name="tuning-lease")
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            if not self.lost:
                self._give_back()

    def _claim(self) -> None:
        now = self._now()
        # It may be our own, if the answer to an earlier attempt was lost.
        if now not in ("", self._seen) and not now.startswith(self._holder):
            raise _running(self._run_id, now)
        self._say(0)

    def _give_back(self) -> None:
        try:
            if self._now().startswith(self._holder):
                self._client.delete_tag(self._run_id, names.DRIVER)
        except Exception as error:  # nobody waits for long for a count that stands still
            _log.debug("the lease could not be given back: %s", error)

    def _beat(self, on_lost: Callable[[], None]) -> None:
        count = 0
        # The first look is soon: two that took the study at the same time have not written yet.
        while not self._over.wait(self._beat_s if count else min(self._beat_s, _SETTLE_SECONDS)):
            count += 1
            try:
                if not self._now().startswith(self._holder):  # "": the other is done already
                    self.lost = True
                    on_lost()
                    return
                self._say(count)
            except Exception as error:  # an outage is the tracker's to judge
                _log.debug("no sign of life could be given: %s", error)

    def _now(self) -> str:
        return _sign_of_life(self._client, self._run_id)

    def _say(self, count: int) -> None:
        self._client.set_tag(self._run_id, names.DRIVER, f"{self._holder} {count}")


def check_abandoned(
    client: "MlflowClient",
    run_id: str,
    place: str,
    say: Callable[[str], None] = print,
    sleep: Callable[[float], None] = time.sleep,
    watch_s: float = WATCH_SECONDS,
) -> str:
    """Refuses a study that another machine drives; for this machine there is a lock.

    Args:
        client: Of the store.
        run_id: The parent run.
        place: Names the folder whose lock this process holds.
        say: Tells the user why it takes so long.
        sleep: Waits a number of seconds.
        watch_s: For how long a driver may be silent.

    Returns:
        The last sign of life of the driver that is no more; empty if it said good-bye.

    Raises:
        BadInputError: Its driver has given a sign of life, or there is no such run.
    """
    seen = _sign_of_life(client, run_id)
    if not seen or seen.startswith(_here(place)):
        return seen
    host = seen.split(" ")[0]
    say(f"{host} was driving this study; watching for {watch_s:g} s whether it still is …")
    waited = 0.0
    while waited < watch_s:
        sleep(_LOOK_SECONDS)
        waited += _LOOK_SECONDS
        now = _sign_of_life(client, run_id)
        if not now:
            return ""
        if now != seen:
            raise _running(run_id, now)
    return seen


def _sign_of_life(client: "MlflowClient", run_id: str) -> str:
    return str(get_run(client, run_id).data.tags.get(names.DRIVER, ""))


def _here(place: str) -> str:
    return f"{platform.node()} {place}"


def _running(run_id: str, sign: str) -> BadInputError:
    return BadInputError(f"resume: the study of run {run_id} is running on {sign.split(' ')[0]}")
