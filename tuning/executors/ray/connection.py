"""Connection to a Ray cluster: starts or joins it, counts its room, and sends it files."""

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

import ray

from tuning.core.errors import BadInputError
from tuning.executors.ray.files import FileBundle, describe, pack
from tuning.training.messages import WorkerSpec

# Longest wait for the cluster's port.
CONNECT_SECONDS = 10.0
# Parts of the current folder that are not sent to the nodes.
EXCLUDED = [".git", ".venv", ".cache", "mlruns", "mlflow.db*", "__pycache__", "**/.env"]


def connect(address: str, workers: int, trial_cpus: float) -> bool:
    """Connects to Ray, unless this process is connected already.

    Args:
        address: Address of a running cluster, such as ``auto`` or ``host:6379``; empty to start
            Ray on this machine.
        workers: Number of trials at once for which a Ray on this machine gets CPUs; 0 for all
            cores.
        trial_cpus: Ray CPUs per trial.

    Returns:
        Whether this call made the connection, so that the caller has to close it.

    Raises:
        BadInputError: The cluster cannot be reached, or Ray cannot start.
    """
    if ray.is_initialized():
        return False
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        _check_reachable(address)
        # The nodes import the task and this package from a copy of the current folder.
        options["runtime_env"] = {"working_dir": os.getcwd(), "excludes": EXCLUDED}
    else:
        # Without "local", Ray would join a cluster that already runs on this machine.
        address = "local"
        folders = [os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])]
        options["runtime_env"] = {"env_vars": {"PYTHONPATH": os.pathsep.join(folders)}}
        options["include_dashboard"] = False
        if workers:
            options["num_cpus"] = max(1, math.ceil(workers * trial_cpus))
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        with _keep_signal_handlers():
            ray.init(address=address, **options)
    except Exception as error:
        raise BadInputError(
            f"ray_address: {address!r} cannot be reached: {one_line(error)}"
        ) from error
    return True


def _check_reachable(address: str) -> None:
    """Makes sure that the cluster's port accepts connections; Ray itself would try for minutes.

    Raises:
        BadInputError: No process accepts connections at the port.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # a keyword of Ray, such as auto
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise BadInputError(
            f"ray_address: {address!r} cannot be reached: {error}; start the cluster or correct "
            "the address"
        ) from error


@contextmanager
def _keep_signal_handlers() -> Iterator[None]:
    """Restores this process's handlers of SIGINT and SIGTERM, which ``ray.init`` replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)


def room(trial_cpus: float, trial_gpus: float) -> int:
    """Returns how many trials fit on the cluster's nodes if nothing else runs there.

    Args:
        trial_cpus: Ray CPUs per trial.
        trial_gpus: Ray GPUs per trial.

    Raises:
        BadInputError: No node has enough CPUs and GPUs for a trial.
    """
    needs = [(kind, need) for kind, need in (("CPU", trial_cpus), ("GPU", trial_gpus)) if need]
    count = 0
    for node in ray.nodes():
        resources = node["Resources"] if node["Alive"] else {}
        count += int(min(resources.get(kind, 0) / need for kind, need in needs))
    if not count:
        raise BadInputError(
            f"trial_cpus: no node of the Ray cluster has {trial_cpus:g} CPUs and {trial_gpus:g} "
            "GPUs for a trial; lower resources.trial_cpus or resources.trial_gpus, or pass "
            "workers=N if larger nodes will join the cluster"
        )
    return count


def bundles(spec: WorkerSpec, *, send: bool) -> dict[str, tuple[FileBundle, list[Any]]]:
    """Describes the task options that are files or folders of this machine.

    Args:
        spec: Settings of every worker; its task options of type ``pathlib.Path`` are files.
        send: Whether to pack the files and put the archives into Ray's object store.

    Returns:
        Per option, the bundle and a list with the reference to its archive; the list is empty if
        the files are not sent.
    """
    paths = {name: v for name, v in spec.task_options.items() if isinstance(v, Path)}
    return {
        name: (describe(path), [ray.put(pack(path))] if send else [])
        for name, path in paths.items()
    }


def one_line(error: Exception) -> str:
    """Returns an error of Ray in one line of at most 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    # If the constructor of an actor fails, Ray prints the cause last, below the traceback.
    return f"{type(error).__name__}: {lines[-1 if 'creation task' in lines[0] else 0]}"[:300]
