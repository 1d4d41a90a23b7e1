"""Actor of the Ray executor: runs on a node and trains trials in one worker process.

The actor uses a local executor, so limits and losses of workers are handled in the same way on
every machine. It returns the events of the worker and the files that the driver cannot read. The
trained model stays on the node until a ``ModelUploader`` takes it away.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import ray

from tuning.core.interfaces import Finished, Measured
from tuning.core.trial import Decision, Trial, TrialResult, TrialState
from tuning.executors.local import LocalExecutor
from tuning.executors.machine import usable_cores
from tuning.executors.ray.files import FileBundle, node_folder, receive, sweep
from tuning.training.checkpoint import CHECKPOINT
from tuning.training.messages import WorkerSpec

# Timeout of a single poll of the local executor.
POLL_SECONDS = 1.0

Target = Callable[[Connection, Any, int | None], None]


@dataclass(frozen=True)
class Answer:
    """Events of a trial since the last answer.

    Attributes:
        events: Events of the trial in order, at least one.
        files: Contents of the files of a finished trial by name, without its model; empty while
            the trial runs and if the driver can read the files itself.
        model: Path of the trained model on the node; empty if there is none.
    """

    events: Sequence[Measured | Finished]
    files: Mapping[str, bytes]
    model: str = ""


@dataclass(frozen=True)
class Ready:
    """Answer of an actor that has started.

    Attributes:
        shared: Whether the node and the driver see the same files.
        node: Id of the actor's node.
    """

    shared: bool
    node: str


@dataclass(frozen=True, kw_only=True)
class NodeOptions:
    """Settings of all actors of a study.

    Attributes:
        spec: Settings of the workers.
        bundles: Task options that are files of the driver's machine, by option: the bundle, and a
            list with the reference to its archive. Ray does not resolve references in a list, so
            the archive travels only to nodes that need it.
        target: Main function of the worker.
        trial_memory_mb: Memory limit of a worker during a trial, in MB; None for no limit.
        shared: Whether the nodes see the driver's files; None if each node has to check this.
        trial_cpus: Ray CPUs per trial; they determine how many workers share a node's memory.
    """

    spec: WorkerSpec
    bundles: Mapping[str, tuple[FileBundle, Sequence[Any]]]
    target: Target
    trial_memory_mb: float | None = None
    shared: bool | None = None
    trial_cpus: float = 1.0


class Node:
    """Ray actor of one slot; it trains one trial at a time.

    Args:
        options: Settings of all actors of the study.
        core: Core to which the worker is pinned; None to pin it to no core.
    """

    def __init__(self, options: NodeOptions, core: int | None) -> None:
        spec = options.spec
        # The folder has a random name, so a folder of this name is the one of the driver.
        self._shared = Path(spec.folder).is_dir() if options.shared is None else options.shared
        sweep()
        if not self._shared:
            folder = tempfile.mkdtemp(prefix="trials-", dir=node_folder())
            cache_dir = os.fspath(node_folder() / "compiled") if spec.cache_dir else ""
            spec = replace(spec, folder=folder, cache_dir=cache_dir)
        paths = {
            name: receive(bundle, lambda archive=archive: ray.get(archive[0]))  # type: ignore[misc]
            for name, (bundle, archive) in options.bundles.items()
        }
        self._spec = replace(spec, task_options={**spec.task_options, **paths})
        self._executor = LocalExecutor(
            self._spec,
            1,
            target=options.target,
            trial_memory_mb=options.trial_memory_mb,
            cores=[] if core is None else [core],
            sharing=max(1, int(usable_cores() / options.trial_cpus)),
        )
        self._trial: Trial | None = None

    def ready(self) -> Ready:
        """Answers as soon as the actor runs; its worker may still import Keras."""
        return Ready(self._shared, ray.get_runtime_context().get_node_id())

    def train(self, trial: Trial, checkpoints: Mapping[str, bytes]) -> Answer:
        """Starts a trial and waits for its first event.

        Args:
            trial: Trial to train.
            checkpoints: Contents of the checkpoints from which the trial may resume, by trial
                name; empty if the node sees the driver's files.
        """
        for name, content in checkpoints.items():
            file = Path(self._spec.folder, name, CHECKPOINT)
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
        self._trial = trial
        self._executor.poll(0)  # notices a worker that has died, so that `submit` replaces it
        self._executor.submit(trial)
        return self._wait()

    def go_on(self, decision: Decision) -> Answer:
        """Sends the worker the decision on its newest epoch and waits for the next event."""
        if self._trial is not None:
            self._executor.reply(self._trial.name, decision)
        return self._wait()

    def _wait(self) -> Answer:
        while not (events := self._executor.poll(POLL_SECONDS)):
            pass
        results = [event.result for event in events if isinstance(event, Finished)]
        if self._trial is None or not results:
            return Answer(events, {})
        if self._shared:
            return Answer(events, {}, results[0].artifacts.get("model", ""))
        return self._take_files(self._trial, results[0], events)

    def _take_files(
        self, trial: Trial, result: TrialResult, events: Sequence[Measured | Finished]
    ) -> Answer:
        folder = Path(self._spec.folder, trial.name)
        model = result.artifacts.get("model", "")
        # No attempt and no other trial resumes from such a checkpoint.
        obsolete = result.state is TrialState.COMPLETED and not trial.keep_checkpoint
        files = {
            file.name: file.read_bytes()
            for file in folder.glob("*")
            # Names of incomplete files begin with a dot.
            if file.is_file() and not file.name.startswith(".")
            if file != Path(model) and not (obsolete and file.name == CHECKPOINT)
        }
        if model:
            # The folder of the trial is removed below, and another attempt may use it again.
            outbox = tempfile.mkdtemp(prefix="model-", dir=node_folder())
            model = os.fspath(shutil.move(model, outbox))
        for name in filter(None, (trial.name, trial.resume_from)):
            shutil.rmtree(Path(self._spec.folder, name), ignore_errors=True)
        return Answer(events, files, model)

    def close(self) -> None:
        """Ends the worker, and removes its folder unless the driver uses the same folder."""
        self._executor.close()
        if not self._shared:
            with suppress(OSError):
                shutil.rmtree(self._spec.folder)
