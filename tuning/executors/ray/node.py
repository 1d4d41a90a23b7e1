"""The far side of the Ray executor: an actor on some node, with one worker process of its own.

The worker is the local executor's, so a trial is trained, watched and lost in the same way on
every machine. The actor passes on what it says, and the files that the driver cannot see; models
wait for a uploader.
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

from tuning.core.interfaces import Finished, Measured
from tuning.core.trial import Decision, Trial, TrialResult, TrialState
from tuning.executors.local import LocalExecutor
from tuning.executors.ray.files import FileBundle, node_folder, receive, sweep
from tuning.training.checkpoint import CHECKPOINT
from tuning.training.messages import WorkerSpec

POLL_SECONDS = 1.0

Target = Callable[[Connection, Any, int | None], None]


@dataclass(frozen=True)
class Answer:
    """What happened to a trial since the last answer.

    Attributes:
        events: Of the trial, in order, never empty.
        files: The contents of its small files by their names, once it has finished, unless the
            driver sees them itself.
        model: The file of its model, which stays on the node; empty if there is none.
    """

    events: Sequence[Measured | Finished]
    files: Mapping[str, bytes]
    model: str = ""


@dataclass(frozen=True)
class Ready:
    """An actor that is there.

    Attributes:
        shared: Whether it sees the driver's files.
        node: The id of the node that it is on.
    """

    shared: bool
    node: str


@dataclass(frozen=True, kw_only=True)
class NodeOptions:
    """How the actors of a study work.

    Attributes:
        spec: What their workers are told.
        bundles: Task options that are files of the driver's machine, and the archives of them,
            each a reference in a list so that Ray hands it on as it is.
        target: The worker's main function.
        trial_memory_mb: Limit of a trial's process; None for no limit.
        shared: Whether the driver's files are seen from this node; None to find out.
        trial_cpus: CPUs of one trial, by which a node's memory is shared.
    """

    spec: WorkerSpec
    bundles: Mapping[str, tuple[FileBundle, Sequence[Any]]]
    target: Target
    trial_memory_mb: float | None = None
    shared: bool | None = None
    trial_cpus: float = 1.0


class Node:
    """One slot: trains one trial at a time.

    Args:
        options: Of the study.
        core: To pin the worker to; None where this node's cores are not ours to give away.
    """

    def __init__(self, options: NodeOptions, core: int | None) -> None:
        spec = options.spec
        shared = options.shared
        # The folder has a random name, so one of that name here is the driver's own.
        self._shared = Path(spec.folder).is_dir() if shared is None else shared
        sweep()
        if not self._shared:
            folder = tempfile.mkdtemp(prefix="trials-", dir=node_folder())
            spec = replace(spec, folder=folder, cache_dir=_compile_cache(spec))
        received = {
            name: receive(bundle, lambda archive=archive: _fetch(archive))  # type: ignore[misc]
            for name, (bundle, archive) in options.bundles.items()
        }
        self._spec = replace(spec, task_options={**spec.task_options, **received})
        self._executor = LocalExecutor(
            self._spec,
            1,
            target=options.target,
            trial_memory_mb=options.trial_memory_mb,
            cores=[] if core is None else [core],
            sharing=max(1, int((os.cpu_count() or 1) / options.trial_cpus)),
        )
        self._trial: Trial | None = None

    def ready(self) -> Ready:
        """Answers once the actor is there; its worker may still be importing Keras."""
        import ray

        return Ready(self._shared, ray.get_runtime_context().get_node_id())

    def train(self, trial: Trial, checkpoints: Mapping[str, bytes]) -> Answer:
        """Begins a trial, and waits for its first event.

        Args:
            trial: The trial.
            checkpoints: By trial name, those to go on from, unless the files are shared.
        """
        for name, content in checkpoints.items():
            file = Path(self._spec.folder, name, CHECKPOINT)
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
        self._trial = trial
        self._executor.poll(0)  # so that a worker that died meanwhile is replaced first
        self._executor.submit(trial)
        return self._wait()

    def go_on(self, decision: Decision) -> Answer:
        """Hands on the decision about the newest epoch, and waits for the next event."""
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
        # Nothing goes on from a trial that is done, unless it was asked to be ready for that.
        done = result.state is TrialState.COMPLETED and not trial.keep_checkpoint
        files = {
            file.name: file.read_bytes()
            for file in folder.glob("*")
            # What begins with a dot is half written.
            if file.is_file() and not file.name.startswith(".")
            if file != Path(model) and not (done and file.name == CHECKPOINT)
        }
        if model:
            # In a folder of its own: the next attempt, or a trial that goes on, has the other.
            outbox = tempfile.mkdtemp(prefix="model-", dir=node_folder())
            model = os.fspath(shutil.move(model, outbox))
        for name in filter(None, (trial.name, trial.resume_from)):
            shutil.rmtree(Path(self._spec.folder, name), ignore_errors=True)
        return Answer(events, files, model)

    def close(self) -> None:
        """Ends the worker."""
        self._executor.close()
        if not self._shared:
            with suppress(OSError):
                shutil.rmtree(self._spec.folder)


def _fetch(archive: Sequence[Any]) -> bytes:
    import ray

    content: bytes = ray.get(archive[0])
    return content


def _compile_cache(spec: WorkerSpec) -> str:
    return os.fspath(node_folder() / "compiled") if spec.cache_dir else ""
