"""A study while it runs: store, parent run, workers, tracker and driver, opened and closed."""

import os
import platform
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import tuning
from tuning.driver import Driver, StopSignal
from tuning.errors import InterruptedStudyError
from tuning.executors.local import LocalExecutor
from tuning.plan import Plan, compile_cache, for_data, make_task, use_backend
from tuning.progress import Progress
from tuning.protocols import DataInfo, Task
from tuning.study import Study
from tuning.tracking import names
from tuning.tracking.mlflow_tracker import MlflowTracker, dataset_inputs
from tuning.tracking.record import write_head
from tuning.tracking.store import Parent, open_parent, open_store
from tuning.worker import WorkerSpec

if TYPE_CHECKING:
    from mlflow import MlflowClient


# On Ctrl-C, which reaches this process too, `mlflow run` passes a SIGTERM on.
SAME_REQUEST_SECONDS = 3.0


@dataclass
class Session:
    """What the phases share."""

    plan: Plan
    study: Study
    task: Task
    data: DataInfo
    client: "MlflowClient"
    parent: Parent
    tracker: MlflowTracker
    executor: LocalExecutor
    driver: Driver
    progress: Progress


@contextmanager
def open_session(plan: Plan) -> Iterator[Session]:
    """Opens everything that a study needs; closes it and ends the parent run, whatever happens.

    Raises:
        BadInputError: The data or the store cannot be had.
    """
    stop = StopSignal()
    with ExitStack() as stack:
        stack.enter_context(_signals(stop))
        use_backend(plan)
        task = make_task(plan)
        data = task.prepare()
        study = for_data(plan, data)
        progress = Progress(study.objective)
        if data.warning:
            progress.say(f"\n*** {data.warning} ***\n")
        # Workers import Keras while this process opens the store.
        folder = Path(tempfile.mkdtemp(prefix="tuning-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        executor = LocalExecutor(_worker_spec(plan, study, task, folder), plan.options.workers)
        stack.callback(executor.close)
        client = open_store(plan.tracking_uri)
        parent = open_parent(client, study.name, os.environ)  # type: ignore[arg-type]
        try:
            _begin(client, parent, plan, study, data)
            tracker = MlflowTracker(client, parent.experiment_id, parent.run_id, study, data)
            stack.callback(tracker.close)
            driver = Driver(
                executor,
                [tracker, progress],
                study_seed=study.seed,
                fixed=study.fixed,
                stop=stop,
            )
            yield Session(
                plan, study, task, data, client, parent, tracker, executor, driver, progress
            )
            tracker.flush()
        except BaseException as error:
            interrupted = isinstance(error, InterruptedStudyError | KeyboardInterrupt)
            with suppress(Exception):
                tracker.close()
            with suppress(Exception):
                client.set_terminated(parent.run_id, "KILLED" if interrupted else "FAILED")
            raise
        client.set_terminated(parent.run_id, "FINISHED")


def _begin(
    client: "MlflowClient", parent: Parent, plan: Plan, study: Study, data: DataInfo
) -> None:
    client.update_run(parent.run_id, name=f"{study.name} on {data.label}")
    tags = {
        names.STUDY: study.name,
        names.DATASET: data.label,
        names.DATASET_DIGEST: data.digest,
        names.BACKEND: plan.backend,
        names.SEED: str(study.seed),
        names.VERSION: tuning.__version__,
        names.COMMAND: plan.options.command,
    }
    for key, value in tags.items():
        client.set_tag(parent.run_id, key, value)
    write_head(client, parent.run_id, study, data)
    client.log_text(parent.run_id, _environment(), names.ENVIRONMENT_FILE)
    client.log_inputs(parent.run_id, datasets=dataset_inputs(data, "training"))


def _worker_spec(plan: Plan, study: Study, task: Task, folder: Path) -> WorkerSpec:
    return WorkerSpec(
        task=study.task,
        task_options={**study.task_options, **task.worker_options()},
        objective=study.objective,
        backend=plan.backend,
        folder=str(folder),
        cache_dir=str(compile_cache(plan)),
        path=(os.getcwd(),),
    )


def _environment() -> str:
    packages = sorted(
        {f"{dist.metadata['Name']}=={dist.version}" for dist in metadata.distributions()},
        key=str.lower,
    )
    head = f"# Python {platform.python_version()} on {platform.platform()}"
    return "\n".join([head, *packages, ""])


@contextmanager
def _signals(stop: StopSignal) -> Iterator[None]:
    """The first Ctrl-C ends the running epochs, the second everything; so does SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    asked_at = -SAME_REQUEST_SECONDS

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked_at
        now = time.monotonic()
        if number == signal.SIGTERM and now - asked_at < SAME_REQUEST_SECONDS:
            return
        asked_at = now
        stop.level = stop.level + 1 if number == signal.SIGINT else 2
        if stop.level == 1:
            print("\nStopping after the running epochs; again to stop now.", flush=True)
        elif stop.level > 2:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
