"""One driver a study, also across machines: the record says who drives, and that it is alive.

The clocks of two machines need not agree: a driver is alive if its count goes on while somebody
watches it.
"""

import logging
import platform
import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

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
    """Holds a study for this process; to be used as a context manager.

    Args:
        client: Of the store.
        run_id: The parent run.
        on_lost: Called once, from another thread, if another driver has taken the study over.
        beat_s: Seconds between two signs of life.
    """

    def __init__(
        self,
        client: "MlflowClient",
        run_id: str,
        on_lost: Callable[[], None],
        beat_s: float = BEAT_SECONDS,
    ) -> None:
        self._client = client
        self._run_id = run_id
        self._on_lost = on_lost
        self._beat_s = beat_s
        self._holder = f"{platform.node()} {uuid.uuid4().hex}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="tuning-lease", daemon=True)
        self.lost = False

    def __enter__(self) -> Self:
        self._say(0)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        if not self.lost:
            try:
                self._client.delete_tag(self._run_id, names.DRIVER)
            except Exception as failure:  # nobody waits for long for a count that stands still
                _log.debug("the lease could not be given back: %s", failure)

    def _beat(self) -> None:
        count = 0
        while not self._over.wait(self._beat_s):
            count += 1
            try:
                tag = self._client.get_run(self._run_id).data.tags.get(names.DRIVER, "")
                if tag and not tag.startswith(self._holder):
                    self.lost = True
                    _log.error("the study was taken over by %s", tag.split()[0])
                    self._on_lost()
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
