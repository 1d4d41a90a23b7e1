"""MLflow's tracking server as a process of the tests."""

import os
import signal
import socket
import time
import urllib.request
from pathlib import Path

from tests.e2e import forked
from tests.e2e.process import Command, Forked


class Server:
    """A tracking server that can be killed and comes back on the same port.

    Args:
        folder: Where it keeps its files.
        backend: Its store; a SQLite file if not given.
        quick: Whether it is a fork, and not the command ``mlflow server``.
    """

    def __init__(self, folder: Path, backend: str = "", quick: bool = True) -> None:
        self.folder = folder
        self._backend = backend or f"sqlite:///{folder}/server.db"
        self._quick = quick
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self._process = self._fork() if self._quick else self._command()
        deadline = time.monotonic() + 180
        while True:
            assert self._process.code is None, self._process.output
            assert time.monotonic() < deadline, self._process.output
            try:
                urllib.request.urlopen(f"{self.address}/health", timeout=2).close()
                return
            except OSError:
                time.sleep(0.05)

    def _fork(self) -> Forked | Command:
        # What `mlflow server` tells its workers.
        settings = {
            "_MLFLOW_SERVER_FILE_STORE": self._backend,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(self.folder / "files"),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        }
        return Forked(forked.serve, self.port, folder=self.folder, env={**os.environ, **settings})

    def _command(self) -> Forked | Command:
        command = ["mlflow", "server", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", self._backend]
        command += ["--artifacts-destination", str(self.folder / "files")]
        env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        return Command(*command, folder=self.folder, env=env)

    def kill(self) -> None:
        if self._process.code is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
