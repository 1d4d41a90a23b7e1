"""Worker process: trains one trial after another, and returns errors of a trial as its result.

A worker exchanges messages with its executor over one pipe. It imports Keras once, loads the data
once, and ends when the pipe closes or the driver's process ends.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from errno import EDQUOT, ENOSPC, EROFS
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tuning.core.errors import BadInputError, FatalTrialError, InfeasibleError
from tuning.core.task import Task, Trains
from tuning.core.task_class import import_task
from tuning.core.trial import (
    CONTINUE,
    Decision,
    Failure,
    FailureKind,
    Measurement,
    Trial,
    TrialResult,
)
from tuning.data.cuts import cut_of
from tuning.data.loading import Loader
from tuning.training.devices import check_gpu, has_gpu
from tuning.training.environment import thread_environment
from tuning.training.keras_process import free_memory, import_keras, keep_freed_memory
from tuning.training.messages import Done, Epoch, Reply, Train, WorkerSpec, lost_result

# If no decision comes within this time, the worker trains the next epoch. A late decision takes
# effect after that epoch.
REPLY_SECONDS = 10.0
# Freeing compiled programs costs the next trials one or two seconds, so memory may grow by this
# factor first.
GROWTH = 1.5


def main(connection: Connection, spec: WorkerSpec, core: int | None) -> None:
    """Runs a worker until its executor closes the pipe or sends a message that is no trial.

    Args:
        connection: Pipe to the executor.
        spec: Settings of the worker.
        core: Core to which the process is pinned; None to pin it to no core.
    """
    # Ctrl-C reaches all processes of the group, but only the driver reacts to it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.pop("MLFLOW_RUN_ID", None)
    os.environ.update(thread_environment(spec.backend, spec.cache_dir))
    os.environ.update(spec.environment)
    sys.path[:0] = [entry for entry in spec.path if entry not in sys.path]
    keep_freed_memory()
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    threading.Thread(target=_end_with_driver, daemon=True).start()
    worker = TrialWorker(spec)
    worker.warm_up()
    try:
        while isinstance(message := connection.recv(), Train | Reply):
            # A reply that arrives here is too late: its trial has ended.
            if isinstance(message, Train):
                report = partial(_report, connection, message.trial)
                connection.send(worker.run(message.trial, report))
    except (EOFError, OSError, _DriverGoneError):
        pass


def _end_with_driver() -> None:
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)


class _DriverGoneError(BaseException):
    """The pipe to the driver is closed; not an Exception, so that a task does not catch it."""


def _report(connection: Connection, trial: Trial, measurement: Measurement) -> Decision:
    """Reports an epoch of a trial over the pipe and waits for the decision."""
    try:
        connection.send(Epoch(trial.name, trial.attempt, measurement))
        while connection.poll(REPLY_SECONDS):
            reply = connection.recv()
            if not isinstance(reply, Reply) or reply.name != trial.name:
                continue
            if reply.decision.stop or reply.step >= measurement.step:
                return reply.decision
    except (EOFError, OSError) as error:
        raise _DriverGoneError from error
    return CONTINUE


class TrialWorker:
    """Trains trials with one task and its data, which are loaded once."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._task: Task | None = None
        self._loader: Loader | None = None
        self._first_mb = 0.0

    def warm_up(self) -> None:
        """Imports Keras and loads the data before the first trial.

        Errors are ignored here, because they occur again in the first trial, which reports them.
        """
        with contextlib.suppress(Exception):
            if self._spec.with_keras:
                import_keras()
                import tuning.training.fit  # noqa: F401

            self._load()
        # The present objects stay until the process ends. A garbage collection that skips them is
        # a tenth of a second shorter.
        gc.collect()
        gc.freeze()

    def run(self, trial: Trial, report: Any) -> Done:
        """Trains a trial; an error becomes a failed result."""
        folder = Path(self._spec.folder, trial.name)
        measurements: list[Measurement] = []

        def record(measurement: Measurement) -> Decision:
            measurements.append(measurement)
            decision: Decision = report(measurement)
            return decision

        try:
            result = self._train(trial, record, folder)
        except _DriverGoneError:
            raise
        except BaseException as error:
            result = lost_result(tuple(measurements), _failure(error))
        return Done(trial.name, trial.attempt, result, self._tidy())

    def _train(
        self, trial: Trial, record: Callable[[Measurement], Decision], folder: Path
    ) -> TrialResult:
        spec = self._spec
        task, loader = self._load()
        if isinstance(task, Trains):
            from tuning.training.any_model import train_any

            folder.mkdir(parents=True, exist_ok=True)
            assert spec.rule is not None, "such a task is always judged"
            return train_any(task, trial, spec.objective, spec.rule, record, folder)
        from tuning.training.fit import train

        data = loader.load("search", trial.params, cut_of(trial.tags))
        folder.mkdir(parents=True, exist_ok=True)
        return train(task, data, trial, spec.objective, spec.training, record, folder, spec.rule)

    def _tidy(self) -> float:
        """Frees memory of earlier trials if the process has grown; returns its memory in MB."""
        memory_mb = memory_of()
        self._first_mb = self._first_mb or memory_mb
        if self._spec.with_keras and memory_mb > GROWTH * self._first_mb:
            free_memory()
            memory_mb = memory_of()
        return memory_mb

    def _load(self) -> tuple[Task, Loader]:
        if self._task is None or self._loader is None:
            self._check_gpu()
            try:
                task = import_task(self._spec.task)(**self._spec.task_options)
                spec = self._spec
                shared = Path(spec.folder, spec.prepared) if spec.prepared else None
                loader = Loader(task, spec.classes, shared)
                if not loader.takes_params and not isinstance(task, Trains):
                    loader.load("search", {})
            except Exception as error:
                raise FatalTrialError(f"the task cannot be loaded: {error}") from error
            self._task, self._loader = task, loader
        return self._task, self._loader

    def _check_gpu(self) -> None:
        if not has_gpu(self._spec.environment):
            return
        try:
            check_gpu(self._spec.backend)
        except RuntimeError as error:
            raise FatalTrialError(
                f"the GPU cannot be used: {error}; "
                "--gpus none (on Ray --set resources.trial_gpus=0) trains on the CPU"
            ) from error


_FRAMEWORKS = ("jax", "jaxlib", "tensorflow", "torch")
_EXHAUSTED = ("RESOURCE_EXHAUSTED", "ResourceExhaustedError", "OutOfMemoryError", "out of memory")


def _kind(error: BaseException) -> FailureKind:
    if isinstance(error, MemoryError):
        return FailureKind.OUT_OF_MEMORY
    # JAX and TensorFlow have no exception class for these errors.
    if type(error).__module__.partition(".")[0] in _FRAMEWORKS:
        text = f"{type(error).__name__}: {error}"
        if any(words in text for words in _EXHAUSTED):
            return FailureKind.OUT_OF_MEMORY
        # The process cannot compute any more; a new process checks whether the GPU works.
        if "CUDA_ERROR" in text or "CUDA error" in text:
            return FailureKind.WORKER_LOST
    if isinstance(error, InfeasibleError):
        return FailureKind.INFEASIBLE
    if isinstance(error, BadInputError):
        return FailureKind.BAD_INPUT
    if isinstance(error, FatalTrialError):
        return FailureKind.FATAL
    # A full or read-only disk affects every trial.
    if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT, EROFS):
        return FailureKind.FATAL
    return FailureKind.ERROR


def _failure(error: BaseException) -> Failure:
    # The text of an error that is raised on purpose is written for the user as it is.
    prefix = "" if isinstance(error, BadInputError) else f"{type(error).__name__}: "
    text = "".join(traceback.format_exception(error))
    return Failure(kind=_kind(error), message=f"{prefix}{error}", traceback=text)


def memory_of(pid: int | None = None) -> float:
    """Returns the memory of a process in MB; None for this process, and 0 if it has ended.

    Files that are mapped into memory, such as arrays on disk, do not count where the system tells
    them apart: the kernel takes their pages back when it needs them.
    """
    import psutil

    try:
        info = psutil.Process(pid).memory_info()
        return float((info.rss - getattr(info, "shared", 0)) / 1e6)
    except psutil.Error:
        return 0.0
