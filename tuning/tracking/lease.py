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
from tuning.tracking.record import StudyRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient

BEAT_SECONDS = 30.0
WATCH_SECONDS = 80.0
_LOOK_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Lease:
    """Holds a study for this process.

    Args:
        client: Of the store.
        run_id: The parent run.
        beat_s: Seconds between two signs of life.

    Attributes:
        lost: Whether another driver has taken the study over, which is its to write now.
    """

    def __init__(
        self,
        client: "MlflowClient",
        run_id: str,
        beat_s: float = BEAT_SECONDS,
    ) -> None:
        self._client = client
        self._run_id = run_id
        self._beat_s = beat_s
        self._holder = f"{platform.node()} {uuid.uuid4().hex}"
        self._over = threading.Event()
        self.lost = False

    @contextmanager
    def held(self, on_lost: Callable[[], None]) -> Iterator[None]:
        """Gives signs of life; gives the study back at the end.

        Args:
            on_lost: Called once, from another thread, if another driver has taken over.
        """
        self._say(0)
        thread = threading.Thread(target=self._beat, args=[on_lost], name="tuning-lease")
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            if not self.lost:
                self._give_back()

    def _give_back(self) -> None:
        try:
            self._client.delete_tag(self._run_id, names.DRIVER)
        except Exception as error:  # nobody waits for long for a count that stands still
            _log.debug("the lease could not be given back: %s", error)

    def _beat(self, on_lost: Callable[[], None]) -> None:
        count = 0
        while not self._over.wait(self._beat_s):
            count += 1
            try:
                tag = self._client.get_run(self._run_id).data.tags.get(names.DRIVER, "")
                if not tag.startswith(self._holder):  # without one, the other is done already
                    self.lost = True
                    on_lost()
                    return
                self._say(count)
            except Exception as error:  # an outage is the tracker's to judge
                _log.debug("no sign of life could be given: %s", error)

    def _say(self, count: int) -> None:
        self._client.set_tag(self._run_id, names.DRIVER, f"{self._holder} {count}")


def check_abandoned(
    client: "MlflowClient",
    record: StudyRecord,
    say: Callable[[str], None] = print,
    sleep: Callable[[float], None] = time.sleep,
    watch_s: float = WATCH_SECONDS,
) -> None:
    """Refuses a study that another machine drives; for this machine there is a lock.

    Raises:
        BadInputError: Its driver has given a sign of life.
    """
    seen = record.tags.get(names.DRIVER, "")
    host = seen.split(" ")[0]
    if not seen or host == platform.node():
        return
    say(f"{host} was driving this study; watching for {watch_s:g} s whether it still is …")
    waited = 0.0
    while waited < watch_s:
        sleep(_LOOK_SECONDS)
        waited += _LOOK_SECONDS
        now = client.get_run(record.run_id).data.tags.get(names.DRIVER, "")
        if now != seen and now:
            raise BadInputError(
                f"resume: the study of run {record.run_id} is running on {now.split(' ')[0]}"
            )
