"""A server as a child process, until it answers and while a block runs."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

START_SECONDS = 240


@contextmanager
def started(command: Sequence[str], path: str) -> Iterator[int]:
    """Starts a command with a free port after it, and waits until ``path`` is there.

    Yields:
        The port.

    Raises:
        SystemExit: It ended, or never answered; with what it printed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*command, str(port)], stdout=log, stderr=log, env={**os.environ, "PATH": scripts}
        )
        deadline = time.monotonic() + START_SECONDS
        try:
            while not _answers(f"http://127.0.0.1:{port}{path}"):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(log.read())
                time.sleep(0.2)
            yield port
        finally:
            process.terminate()
            process.wait(30)


def served(model: str) -> AbstractContextManager[int]:
    """Serves a registered model."""
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model]
    return started([*command, "--env-manager", "local", "-p"], "/ping")


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=2).close()
    except OSError:
        return False
    return True
