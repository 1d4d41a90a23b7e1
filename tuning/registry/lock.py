"""A lock on a registered model that holds for all users and machines of the store.

MLflow has no compare-and-set. So every process writes a tag of its own on the registered model,
and enters only if it sees no other such tag afterwards. Of two processes that write before they
read, none enters; both withdraw and try again after a random time.
"""

import json
import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

import psutil

from tuning.core.errors import TuningError
from tuning.tracking import keys

if TYPE_CHECKING:
    from mlflow import MlflowClient

# A process waits this long for others, and takes a lock for abandoned whose tag has not changed
# for this long. Its own clock is the only one that counts, so clocks may differ or jump.
WAIT_SECONDS = 180.0
ABANDONED_SECONDS = 60.0
RENEW_SECONDS = 15.0


class RegistryLock:
    """The lock, while it is held.

    Args:
        client: Client of the MLflow store.
        name: Name of the registered model.
    """

    def __init__(self, client: "MlflowClient", name: str) -> None:
        self._client = client
        self._name = name
        self._key = f"{keys.LOCK}{uuid.uuid4().hex}"
        self._renewals = 0  # never goes back: a tag that stays the same is of a dead process
        self._held = False
        self._one_at_a_time = Lock()

    def renew(self) -> None:
        """Shows that this process still works. It must be called before every lasting write.

        Raises:
            TuningError: Another process has taken this lock for abandoned.
        """
        with self._one_at_a_time:
            if self._held and self._key not in self.others(include_own=True):
                raise TuningError(
                    f"{self._name}: this process paused for so long that another one may have "
                    "changed the registry; run the command again"
                )
            self._renewals += 1
            holder = {"place": _place(), "pid": os.getpid(), "started": _started(os.getpid())}
            holder["renewal"] = self._renewals
            self._client.set_registered_model_tag(self._name, self._key, json.dumps(holder))
            self._held = True

    def release(self) -> None:
        """Removes the tag of this process."""
        with self._one_at_a_time:
            self._held = False
            self._client.delete_registered_model_tag(self._name, self._key)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renews the lock every few seconds, so that long work does not look like death."""
        done = Event()

        def keep() -> None:
            while not done.wait(RENEW_SECONDS):
                with suppress(Exception):  # the next lasting write says that the lock is lost
                    self.renew()

        thread = Thread(target=keep, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def others(self, *, include_own: bool = False) -> dict[str, str]:
        """Returns the tags of all processes that hold or want the lock, by name."""
        tags = self._client.get_registered_model(self._name).tags
        return {
            key: value
            for key, value in tags.items()
            if key.startswith(keys.LOCK) and (include_own or key != self._key)
        }


@contextmanager
def registry_lock(
    client: "MlflowClient",
    name: str,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[RegistryLock]:
    """Locks a registered model, which must exist.

    Args:
        client: Client of the MLflow store.
        name: Name of the registered model.
        sleep: Function that waits for a number of seconds.
        clock: Function that returns seconds, and never goes back.

    Raises:
        TuningError: Other processes hold the lock for too long.
    """
    lock = RegistryLock(client, name)
    seen: dict[str, tuple[str, float]] = {}
    deadline = clock() + WAIT_SECONDS
    while True:
        lock.renew()
        others = lock.others()
        if not others:
            break
        lock.release()
        seen = {key: value for key, value in seen.items() if key in others}
        for key, value in others.items():
            if seen.get(key, ("", 0.0))[0] != value:
                seen[key] = value, clock()
            if _is_abandoned(value) or clock() - seen[key][1] > ABANDONED_SECONDS:
                client.delete_registered_model_tag(name, key)
        if clock() > deadline:
            raise TuningError(
                f"{name}: another process has been using the registry for {WAIT_SECONDS:g} s; "
                "try again later"
            )
        sleep(random.uniform(0.05, 0.5))
    try:
        with lock.kept():
            yield lock
    finally:
        with suppress(Exception):  # then the lock is abandoned
            lock.release()


def _is_abandoned(value: str) -> bool:
    """Whether the process that wrote a tag ran on this machine and has died."""
    try:
        holder = json.loads(value)
        here = bool(holder["place"] == _place())
        return here and _started(int(holder["pid"])) != holder["started"]
    except (ValueError, LookupError, TypeError):
        return False  # of another version


def _place() -> str:
    """Returns what tells this machine, its boot and the container whose process ids are valid."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _started(pid: int) -> float | None:
    """Returns the start of a process, because its id may be used again; None without one.

    On Linux it counts from the boot of the machine, so a clock that is set changes nothing.
    """
    with suppress(OSError, ValueError, IndexError):
        # The second field, the name in parentheses, may have spaces.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return float(fields[19])
    try:
        return round(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
