"""The way to a Ray cluster: started here or joined, what it has room for, what it is sent."""

import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tuning.core.errors import BadInputError
from tuning.executors.ray.files import FileBundle, describe, pack
from tuning.training.messages import WorkerSpec

CONNECT_SECONDS = 10.0
# Of the current folder, which the nodes get.
EXCLUDED = [".git", ".venv", ".cache", "mlruns", "mlflow.db*", "__pycache__", "**/.env"]


def connect(address: str, workers: int, trial_cpus: float, trial_gpus: float) -> bool:
    """Connects to Ray; whether this process was not connected before."""
    import ray

    if ray.is_initialized():
        return False
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        _check_listens(address)
        # The nodes import the task, and this package, from a copy of the current folder.
        options["runtime_env"] = {"working_dir": os.getcwd(), "excludes": EXCLUDED}
    else:
        # Two names of one thing: the clusters of others on this machine are not ours to join.
        address = "local"
        paths = [os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])]
        options["runtime_env"] = {"env_vars": {"PYTHONPATH": os.pathsep.join(paths)}}
        options |= {"include_dashboard": False}
        if workers:
            options["num_cpus"] = max(1, math.ceil(workers * trial_cpus))
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        with _own_signals():
            ray.init(address=address, **options)
    except Exception as error:
        raise BadInputError(
            f"ray_address: {address!r} cannot be reached: {one_line(error)}"
        ) from error
    return True


def _check_listens(address: str) -> None:
    """Ray would try for minutes to reach a port at which nobody listens.

    Raises:
        BadInputError: Nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # a word that Ray knows, such as auto
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise BadInputError(f"ray_address: {address!r} cannot be reached: {error}") from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keeps Ray from replacing what this process does when it is told to end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            if handler is not None:
                signal.signal(number, handler)


def room(trial_cpus: float, trial_gpus: float) -> int:
    """How many trials the cluster's nodes have room for, whatever else they do now."""
    import ray

    count = 0
    for node in ray.nodes():
        resources = node["Resources"] if node["Alive"] else {}
        shares = [
            resources.get(kind, 0) / need
            for kind, need in (("CPU", trial_cpus), ("GPU", trial_gpus))
            if need
        ]
        count += int(min(shares))
    if not count:
        raise BadInputError(
            f"trial_cpus: no node of the Ray cluster has {trial_cpus:g} CPUs and {trial_gpus:g} "
            "GPUs for a trial; pass workers=N if nodes that do will join it"
        )
    return count


def bundles(spec: WorkerSpec, *, send: bool) -> dict[str, tuple[FileBundle, list[Any]]]:
    """The task options that are files; each is put where every node can get it, once."""
    import ray

    files = {name: v for name, v in spec.task_options.items() if isinstance(v, Path)}
    return {
        name: (describe(path), [ray.put(pack(path))] if send else [])
        for name, path in files.items()
    }


def one_line(error: Exception) -> str:
    """An error of Ray in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    # Of an error in an actor's constructor the cause comes last, below its traceback.
    return f"{type(error).__name__}: {lines[-1 if 'creation task' in lines[0] else 0]}"[:300]
