"""Trials on a Ray cluster: an actor a slot, wherever the cluster has room for it.

Driver and actor take turns: the driver asks for the next event, and its question carries the
decision about the last. So a trial costs one message an epoch each way, and an actor or node that
is lost is an error of the one question that is open.
"""

import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuning import worker
from tuning.checkpoint import CHECKPOINT
from tuning.errors import BadInputError, StudyFailedError
from tuning.executors.local import available_cores
from tuning.executors.ray_node import Answer, Node, NodeOptions, Target
from tuning.executors.shipping import Parcel, describe, pack
from tuning.protocols import Finished, Measured
from tuning.trial import (
    CONTINUE,
    Decision,
    Failure,
    FailureKind,
    Measurement,
    Trial,
    TrialResult,
    TrialState,
)
from tuning.worker import WorkerSpec

# Actors of one slot that end before they are ready, one after the other.
MAX_STARTS = 3
CONNECT_SECONDS = 10.0
# Between two words about a cluster that has no room.
PATIENCE_SECONDS = 60.0
EXCLUDED = [".git", ".venv", ".cache", "mlruns", "mlflow.db*", "__pycache__"]

_log = logging.getLogger(__name__)


@dataclass
class _Slot:
    """One actor and the trial that it trains, if any.

    ``question`` is open while the actor works; without one, and with a trial, the actor's newest
    epoch waits for a decision.
    """

    number: int
    actor: Any
    question: Any
    ready: bool = False
    shared: bool = True
    failed_starts: int = 0
    trial: Trial | None = None
    measurements: tuple[Measurement, ...] = ()
    cancelled: str = ""


class RayExecutor:
    """Trains on a Ray cluster.

    Args:
        spec: What every worker is told. Task options that are a ``pathlib.Path`` are files of this
            machine: they are sent to each node that does not see them, once.
        workers: How many trials at once; 0 means as many as the cluster has room for now. More
            than that wait for room, which an autoscaling cluster makes.
        address: Of a running cluster, such as ``auto`` or ``ray://host:10001``; empty to start
            Ray on this machine, and to stop it in the end.
        trial_cpus: Of Ray's CPUs, a trial.
        trial_gpus: Of Ray's GPUs, a trial; a fraction shares one.
        target: The worker's main function.
        trial_memory_mb: A trial whose process holds more is killed and has failed; None for no
            limit.
        shared: Whether every node sees this machine's files; None to find out.

    Raises:
        BadInputError: There is no such cluster, or no node that could train a trial.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        workers: int = 0,
        *,
        address: str = "",
        trial_cpus: float = 1.0,
        trial_gpus: float = 0.0,
        target: Target = worker.main,
        trial_memory_mb: float | None = None,
        shared: bool | None = None,
    ) -> None:
        self._folder = Path(spec.folder)
        self._own = _connect(address, workers, trial_cpus, trial_gpus)
        self._closed = False
        self._lost: list[Finished] = []
        self._waiting_since = time.monotonic()
        self._needs = {"num_cpus": trial_cpus, "num_gpus": trial_gpus}
        self._slots: list[_Slot] = []
        try:
            count = workers or _room(trial_cpus, trial_gpus)
            self._options = NodeOptions(
                spec=spec,
                parcels=_parcels(spec, send=bool(address) or shared is False),
                target=target,
                trial_memory_mb=trial_memory_mb,
                shared=shared,
            )
            # Only where all of them are on this machine, and nobody else's.
            cores = available_cores() if self._own and not trial_gpus else []
            self._cores = cores[:count] if trial_cpus == 1 and count <= len(cores) else []
            for number in range(count):
                self._slots.append(_Slot(number, None, None))
                self._start(self._slots[-1])
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:
        """How many trials can be trained at once, where the cluster has room for all."""
        return len(self._slots)

    @property
    def free_slots(self) -> int:
        """How many trials can be submitted now; a slot whose actor waits for room is not free."""
        return sum(slot.ready and slot.trial is None for slot in self._slots)

    def submit(self, trial: Trial) -> None:
        """Starts a trial on a free actor."""
        slot = next((slot for slot in self._slots if slot.ready and slot.trial is None), None)
        if slot is None:
            raise RuntimeError("no slot is free")
        slot.trial, slot.measurements, slot.cancelled = trial, (), ""
        checkpoints = {} if slot.shared else self._checkpoints(trial)
        slot.question = slot.actor.train.remote(trial, checkpoints)

    def poll(self, timeout_s: float) -> Sequence[Measured | Finished]:
        """Waits for what the actors answer, and for their loss."""
        import ray

        for slot in self._slots:
            if slot.ready and slot.trial is not None and slot.question is None:
                slot.question = slot.actor.go_on.remote(CONTINUE)  # nobody had an opinion
        self._complain()
        questions = [slot.question for slot in self._slots if slot.question is not None]
        if not questions:
            time.sleep(timeout_s)
            return []
        answered, _ = ray.wait(questions, timeout=timeout_s)
        if answered:
            answered, _ = ray.wait(questions, num_returns=len(questions), timeout=0)
        events: list[Measured | Finished] = []
        for slot in self._slots:
            if slot.question in answered:
                events += self._read(slot)
        return events

    def reply(self, name: str, decision: Decision) -> None:
        """Sends an actor the decision on its newest epoch."""
        slot = self._slot_of(name)
        if slot is not None and slot.question is None:
            slot.question = slot.actor.go_on.remote(decision)

    def cancel(self, name: str, reason: str) -> None:
        """Kills the trial's actor and its worker; the slot gets a new one."""
        import ray

        slot = self._slot_of(name)
        if slot is not None:
            slot.cancelled = reason
            ray.kill(slot.actor)
            if slot.question is None:
                slot.question = slot.actor.go_on.remote(CONTINUE)  # fails, as it should

    def close(self) -> None:
        """Ends every actor at once, and Ray where it was started here."""
        import ray

        if self._closed:
            return
        self._closed = True
        closing = [slot.actor.close.remote() for slot in self._slots if self._idle(slot)]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=2)
        for slot in self._slots:
            if slot.actor is not None:
                with suppress(Exception):
                    ray.kill(slot.actor)
        if self._own:
            ray.shutdown()

    def _idle(self, slot: _Slot) -> bool:
        return slot.ready and slot.question is None

    def _start(self, slot: _Slot) -> None:
        import ray

        core = self._cores[slot.number] if self._cores else None
        # A lost trial is the driver's to train again: Ray would do it behind its back.
        actor = ray.remote(max_restarts=0, max_task_retries=0, **self._needs)(Node)
        slot.actor = actor.options(scheduling_strategy="SPREAD").remote(self._options, core)
        slot.ready, slot.question = False, slot.actor.ready.remote()

    def _read(self, slot: _Slot) -> list[Measured | Finished]:
        import ray

        question, slot.question = slot.question, None
        try:
            answer: Answer | bool = ray.get(question)
        except Exception as error:
            return self._lose(slot, error)
        if isinstance(answer, bool):
            slot.ready, slot.shared, slot.failed_starts = True, answer, 0
            return []
        events: list[Measured | Finished] = []
        for event in answer.events:
            if isinstance(event, Measured):
                slot.measurements += (event.measurement,)
                events.append(event)
            else:
                events.append(self._finish(slot, event, answer.files))
        return events

    def _finish(self, slot: _Slot, event: Finished, files: Mapping[str, bytes]) -> Finished:
        slot.trial = None
        result = replace(event.result, worker=f"ray-{slot.number}")
        if files:
            folder = self._folder / event.name
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (folder / Path(name).name).write_bytes(content)
            artifacts = {
                kind: str(folder / Path(path).name) for kind, path in result.artifacts.items()
            }
            result = replace(result, artifacts=artifacts)
        return replace(event, result=result)

    def _lose(self, slot: _Slot, error: Exception) -> list[Measured | Finished]:
        """What follows when an actor, or the node that it was on, is gone."""
        trial, slot.trial = slot.trial, None
        if not slot.ready:
            slot.failed_starts += 1
            if slot.failed_starts >= MAX_STARTS:
                raise StudyFailedError(f"no Ray worker can start: {_brief(error)}") from error
        self._start(slot)
        if trial is None:
            return []
        lost = TrialResult(
            state=TrialState.INTERRUPTED if slot.cancelled else TrialState.FAILED,
            measurements=slot.measurements,
            duration_s=slot.measurements[-1].elapsed_s if slot.measurements else 0.0,
            failure=None
            if slot.cancelled
            else Failure(kind=FailureKind.WORKER_LOST, message=_brief(error)),
            worker=f"ray-{slot.number}",
        )
        return [Finished(name=trial.name, attempt=trial.attempt, result=lost)]

    def _checkpoints(self, trial: Trial) -> Mapping[str, bytes]:
        """What the trial may go on from, for a node that does not see this machine's files."""
        names = [trial.name, *([trial.resume_from] if trial.resume_from else [])]
        files = {name: self._folder / name / CHECKPOINT for name in names}
        return {name: file.read_bytes() for name, file in files.items() if file.exists()}

    def _complain(self) -> None:
        """Says so, now and then, while nothing can be trained."""
        import ray

        now = time.monotonic()
        if any(slot.ready for slot in self._slots):
            self._waiting_since = now
        elif now - self._waiting_since > PATIENCE_SECONDS:
            self._waiting_since = now
            _log.warning(
                "the Ray cluster has had no room for a trial for %.0f s: one needs %s; free is %s",
                PATIENCE_SECONDS,
                self._needs,
                {key: ray.available_resources().get(key, 0) for key in ("CPU", "GPU")},
            )

    def _slot_of(self, name: str) -> _Slot | None:
        return next((s for s in self._slots if s.trial is not None and s.trial.name == name), None)


def _connect(address: str, workers: int, trial_cpus: float, trial_gpus: float) -> bool:
    """Connects to Ray; whether it was started here."""
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
            f"ray_address: {address!r} cannot be reached: {_brief(error)}"
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


def _room(trial_cpus: float, trial_gpus: float) -> int:
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


def _parcels(spec: WorkerSpec, *, send: bool) -> dict[str, tuple[Parcel, list[Any]]]:
    """The task options that are files; each is put where every node can get it, once."""
    import ray

    files = {name: v for name, v in spec.task_options.items() if isinstance(v, Path)}
    return {
        name: (describe(path), [ray.put(pack(path))] if send else [])
        for name, path in files.items()
    }


def _brief(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    # Of an error in an actor's constructor the cause comes last, below its traceback.
    return f"{type(error).__name__}: {lines[-1 if 'creation task' in lines[0] else 0]}"[:300]
