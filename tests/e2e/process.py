"""A running ``tune``, which a test watches, signals and kills."""

import atexit
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import psutil

from tests.e2e import forked
from tests.stand_in import ROOT, STAND_IN

# With the stand-in for Keras.
PATH = f"{STAND_IN}{os.pathsep}{ROOT}"

# A fork of a process that has imported what a driver and a server need starts at once.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["pytest", "tests.e2e.forked"])


@cache
def _logs() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tuning-test-logs-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class _Logged:
    """What a process prints goes into a file, which can be read at any time."""

    def __init__(self) -> None:
        self._log = _logs() / f"{len(list(_logs().iterdir()))}.log"
        self._log.touch()

    @property
    def output(self) -> str:
        return self._log.read_text("utf-8", errors="replace")


class Forked(_Logged):
    """A process that begins with its imports done.

    Args:
        run: What it does; a function of ``tests.e2e.forked``.
        folder: Its current folder.
        env: Its whole environment.
    """

    def __init__(
        self, run: Callable[..., None], *arguments: object, folder: Path, env: Mapping[str, str]
    ) -> None:
        super().__init__()
        options = (run, arguments, str(folder), dict(env), str(self._log))
        self._process = _context.Process(target=forked.main, args=options)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def code(self) -> int | None:
        return self._process.exitcode

    def wait(self, seconds: float) -> int:
        self._process.join(seconds)
        if self.code is None:
            raise TimeoutError(f"still running after {seconds} s:\n{self.output}")
        return self.code


class Command(_Logged):
    """A process with a new interpreter, as a user starts it."""

    def __init__(self, *command: str, folder: Path, env: Mapping[str, str]) -> None:
        super().__init__()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=folder,
                env=env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def code(self) -> int | None:
        return self._process.poll()

    def wait(self, seconds: float) -> int:
        return self._process.wait(seconds)


class Tune:
    """``tuning tune`` of the study in a folder, with two workers.

    Args:
        folder: Folder of ``study.yaml``, and of the store if there is no ``uri``.
        arguments: Further arguments of the command.
        uri: Address of the store.
        cache: The command's cache folder.
        keras: Whether to train with Keras itself, in a new interpreter; otherwise with its
            stand-in, in a fork.
        env: Further environment variables.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        uri: str = "",
        cache: Path | None = None,
        keras: bool = False,
        **env: str,
    ) -> None:
        self.uri = uri or f"sqlite:///{folder / 'mlflow.db'}"
        options = ["--study", str(folder / "study.yaml"), "--workers", "2"]
        options += ["--cache-dir", str(cache or folder / "cache"), *arguments]
        own = {"PYTHONPATH": str(ROOT) if keras else PATH, "MLFLOW_TRACKING_URI": self.uri}
        env = {**os.environ, **own, **env}
        self._process: Forked | Command
        if keras:
            self._process = Command("tuning", "tune", *options, folder=folder, env=env)
        else:
            self._process = Forked(forked.tune, options, folder=folder, env=env)

    @property
    def output(self) -> str:
        return self._process.output

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        return self._process.code

    @property
    def over(self) -> bool:
        return self.code is not None

    @property
    def workers(self) -> list[psutil.Process]:
        try:
            children = psutil.Process(self.pid).children()
        except psutil.Error:
            return []
        return [child for child in children if _is_worker(child)]

    def until(self, pattern: str, seconds: float = 120.0) -> bool:
        """Waits for a line; False if the process ended without it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            over = self.over
            if re.search(pattern, self.output):
                return True
            if over:
                return False
            time.sleep(0.01)
        raise TimeoutError(f"no {pattern!r} in:\n{self.output}")

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def end(self, seconds: float = 240.0, linger: float = 30.0) -> int:
        """Waits for the end, and for that of every process it started, ``linger`` s at most."""
        code = self._process.wait(seconds)
        deadline = time.monotonic() + linger
        while left := list(_session(self.pid)):
            assert time.monotonic() < deadline, f"processes outlive the driver: {left}"
            time.sleep(0.05)
        return code


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:  # it was killed, and nobody has noticed yet
        return False


def _session(leader: int) -> Iterator[int]:
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                yield process.pid
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue
