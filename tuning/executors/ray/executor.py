"""Executor that trains on a Ray cluster: one actor per slot, on any node that has room for it.

Driver and actor take turns. A call of the driver carries the decision on the last epoch, and the
answer of the actor carries the next event. A trial therefore needs one message per epoch in each
direction, and the loss of an actor or node appears as an error of the one call that runs.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray

from tuning.core.errors import StudyFailedError
from tuning.core.interfaces import FindUploadTarget, Finished, Measured
from tuning.core.trial import CONTINUE, Decision, Failure, FailureKind, Measurement, Trial
from tuning.executors.machine import available_cores, core_quota
from tuning.executors.ray.connection import bundles, connect, one_line, room
from tuning.executors.ray.node import Answer, Node, NodeOptions, Ready, Target
from tuning.executors.ray.uploads import PendingUploads
from tuning.training import worker
from tuning.training.checkpoint import CHECKPOINT
from tuning.training.messages import WorkerSpec, lost_result

# Number of consecutive failed starts after which a slot is given up.
MAX_STARTS = 3
# Seconds between two checks that the idle actors still run.
LOOK_SECONDS = 2.0
# Seconds between two warnings that the cluster has no room.
NO_ROOM_SECONDS = 60.0

_log = logging.getLogger(__name__)


@dataclass
class _ActorSlot:
    """One actor and the trial that it trains, if any.

    ``call`` refers to the result of a running call of the actor. If no call runs and there is a
    trial, the newest epoch waits for a decision. A slot that is not ready and has no call is
    given up, because its actors cannot start.
    """

    number: int
    actor: Any = None
    call: Any = None
    ready: bool = False
    shared: bool = True
    node: str = ""
    failed_starts: int = 0
    trial: Trial | None = None
    measurements: tuple[Measurement, ...] = ()
    cancelled: str = ""


class RayExecutor:
    """Executor that trains on a Ray cluster.

    If this process is connected to Ray already, the executor uses this connection and leaves it
    open.

    Args:
        spec: Settings of every worker. Task options of type ``pathlib.Path`` are files of this
            machine; a node that does not see them gets them once.
        workers: Number of trials at once; 0 means as many as fit on the present nodes. Further
            slots wait until an autoscaling cluster has room for them.
        address: Address of a running cluster, such as ``auto`` or ``host:6379``; empty to start
            Ray on this machine, and to stop it in ``close``.
        trial_cpus: Ray CPUs per trial.
        trial_gpus: Ray GPUs per trial; a fraction lets several trials share a GPU.
        target: Main function of the worker.
        trial_memory_mb: Memory of a worker during a trial, in MB, above which the worker is
            killed and the trial fails; None for no limit.
        shared: Whether every node sees this machine's files; None if each node has to check this.

    Raises:
        BadInputError: The cluster cannot be reached, or ``workers`` is 0 and no node has enough
            CPUs and GPUs for a trial.
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
        self._owns_connection = connect(address, workers, trial_cpus)
        self._closed = False
        self._start_error = ""
        self._waiting_since = self._idle_checked = time.monotonic()
        self._needs = {"num_cpus": trial_cpus, "num_gpus": trial_gpus}
        self._slots: list[_ActorSlot] = []
        self._uploads = PendingUploads(self._folder)
        try:
            count = workers or room(trial_cpus, trial_gpus)
            if address:
                # These folders may contain another version of the task on a node. The node
                # imports the copy that Ray sends.
                spec = replace(spec, path=())
            self._options = NodeOptions(
                spec=spec,
                bundles=bundles(spec, send=bool(address) or shared is False),
                target=target,
                trial_memory_mb=trial_memory_mb,
                shared=shared,
                trial_cpus=trial_cpus,
            )
            # Workers are pinned only if all of them run on this machine and no other study uses
            # the same Ray.
            pin = self._owns_connection and not address and not trial_gpus
            cores = available_cores() if pin and core_quota() is None else []
            self._cores = cores[:count] if trial_cpus == 1 and count <= len(cores) else []
            for number in range(count):
                self._slots.append(_ActorSlot(number))
                self._start(self._slots[-1])
        except BaseException:
            self.close()
            raise

    def upload_models_to(self, find_target: FindUploadTarget) -> None:
        """Lets every node upload models to the artifact store, also with Ray on this machine.

        Args:
            find_target: Function that returns a future of the upload target of a trained model.
        """
        self._uploads.find_target = find_target

    @property
    def slots(self) -> int:
        """Number of trials that can be trained at once if the cluster has room for all of them."""
        return len(self._slots)

    @property
    def free_slots(self) -> int:
        """Number of trials that can be submitted now; slots that wait for room are not free."""
        return sum(map(_free, self._slots))

    def submit(self, trial: Trial) -> None:
        """Starts a trial on a free actor."""
        slot = next(filter(_free, self._slots), None)
        if slot is None:
            raise RuntimeError("no slot is free")
        slot.trial, slot.measurements, slot.cancelled = trial, (), ""
        checkpoints = {} if slot.shared else self._checkpoints(trial)
        slot.call = slot.actor.train.remote(trial, checkpoints)

    def poll(self, timeout_s: float) -> Sequence[Measured | Finished]:
        """Waits for answers of actors and uploaders, and notices actors that are lost.

        Raises:
            StudyFailedError: Every slot is given up, because its actors cannot start.
        """
        for slot in self._slots:
            if slot.ready and slot.trial is not None and slot.call is None:
                slot.call = slot.actor.go_on.remote(CONTINUE)  # no decision has come
        self._check_idle_actors()
        upload_calls = self._uploads.begin()
        alive = any(slot.ready or slot.call is not None for slot in self._slots)
        if self._start_error and not alive and not self._uploads.pending:
            raise StudyFailedError(f"no Ray worker can start: {self._start_error}")
        self._warn_without_room()
        calls = [slot.call for slot in self._slots if slot.call is not None] + upload_calls
        if not calls:
            finished = self._uploads.read(())
            if not finished:
                time.sleep(timeout_s)
            return finished
        ray.wait(calls, timeout=timeout_s)  # returns as soon as one call has ended
        ended_calls, _ = ray.wait(calls, num_returns=len(calls), timeout=0)
        events: list[Measured | Finished] = []
        for slot in self._slots:
            if slot.call in ended_calls:
                events += self._read(slot)
        return [*events, *self._uploads.read(ended_calls)]

    def reply(self, name: str, decision: Decision) -> None:
        """Sends the decision on a trial's newest epoch to its actor."""
        slot = self._slot_of(name)
        if slot is not None and slot.call is None:
            slot.call = slot.actor.go_on.remote(decision)

    def cancel(self, name: str, reason: str) -> None:
        """Kills the trial's actor and its worker; the slot gets a new actor.

        If the trial has been trained and its model is being uploaded, the driver fetches the model
        instead.
        """
        self._uploads.fetch_now(name)
        slot = self._slot_of(name)
        if slot is not None:
            slot.cancelled = reason
            ray.kill(slot.actor)
            if slot.call is None:
                slot.call = slot.actor.go_on.remote(CONTINUE)  # fails, so `poll` sees it

    def close(self) -> None:
        """Ends every actor, and the connection to Ray if this executor has made it."""
        if self._closed:
            return
        self._closed = True
        closing = [slot.actor.close.remote() for slot in self._slots if _idle(slot)]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=2)
        self._uploads.close()
        for slot in self._slots:
            if slot.actor is not None:
                with suppress(Exception):
                    ray.kill(slot.actor)
        if self._owns_connection:
            ray.shutdown()

    def _check_idle_actors(self) -> None:
        now = time.monotonic()
        if now - self._idle_checked > LOOK_SECONDS:
            self._idle_checked = now
            for slot in filter(_idle, self._slots):
                slot.call = slot.actor.ready.remote()

    def _start(self, slot: _ActorSlot) -> None:
        core = self._cores[slot.number] if self._cores else None
        # Ray must not retry: the driver submits a lost trial again.
        actor = ray.remote(max_restarts=0, max_task_retries=0, **self._needs)(Node)
        slot.actor = actor.options(scheduling_strategy="SPREAD").remote(self._options, core)
        slot.ready, slot.call = False, slot.actor.ready.remote()

    def _read(self, slot: _ActorSlot) -> list[Measured | Finished]:
        call, slot.call = slot.call, None
        try:
            answer: Answer | Ready = ray.get(call)
        except Exception as error:
            return self._lose(slot, error)
        if isinstance(answer, Ready):
            slot.ready, slot.shared, slot.node = True, answer.shared, answer.node
            slot.failed_starts = 0
            return []
        events: list[Measured | Finished] = []
        for event in answer.events:
            if isinstance(event, Measured):
                slot.measurements += (event.measurement,)
                events.append(event)
            else:
                events += self._finish(slot, event, answer)
        return events

    def _finish(
        self, slot: _ActorSlot, event: Finished, answer: Answer
    ) -> list[Measured | Finished]:
        trial, slot.trial = slot.trial, None
        if slot.cancelled:
            self._start(slot)  # `cancel` has killed the actor after its last answer
        result = replace(event.result, worker=f"ray-{slot.number}")
        folder = self._folder / event.name
        if answer.files or (answer.model and not slot.shared):
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in answer.files.items():
                (folder / Path(name).name).write_bytes(content)
            artifacts = {
                kind: str(folder / Path(path).name) for kind, path in result.artifacts.items()
            }
            if answer.model:
                artifacts["model"] = answer.model
            result = replace(result, artifacts=artifacts)
        event = replace(event, result=result)
        if answer.model and trial is not None:
            self._uploads.add(trial, event, slot.node, slot.shared)
            if slot.cancelled:
                self._uploads.fetch_now(event.name)
            return [*self._uploads.read(())]
        return [event]

    def _lose(self, slot: _ActorSlot, error: Exception) -> list[Measured | Finished]:
        """Handles the loss of an actor or of its node."""
        trial, slot.trial = slot.trial, None
        slot.failed_starts += not slot.ready
        if slot.failed_starts < MAX_STARTS:
            self._start(slot)
        else:
            self._start_error = one_line(error)
            _log.warning("Ray worker %d cannot start: %s", slot.number, self._start_error)
        # Idle actors may have run on the same node. They get no trial until they answer again.
        for other in filter(_idle, self._slots):
            other.ready, other.call = False, other.actor.ready.remote()
        if trial is None:
            return []
        failure = Failure(kind=FailureKind.WORKER_LOST, message=one_line(error))
        result = lost_result(
            slot.measurements, None if slot.cancelled else failure, f"ray-{slot.number}"
        )
        return [Finished(name=trial.name, attempt=trial.attempt, result=result)]

    def _checkpoints(self, trial: Trial) -> Mapping[str, bytes]:
        """Returns the checkpoints from which a trial may resume, by trial name."""
        names = filter(None, (trial.name, trial.resume_from))
        files = {name: self._folder / name / CHECKPOINT for name in names}
        return {name: file.read_bytes() for name, file in files.items() if file.exists()}

    def _warn_without_room(self) -> None:
        """Logs a warning every ``NO_ROOM_SECONDS`` while no actor is ready."""
        now = time.monotonic()
        if any(slot.ready for slot in self._slots):
            self._waiting_since = now
        elif now - self._waiting_since > NO_ROOM_SECONDS:
            self._waiting_since = now
            _log.warning(
                "no Ray actor has been ready for %.0f s; a trial needs %s; free resources: %s",
                NO_ROOM_SECONDS,
                self._needs,
                {key: ray.available_resources().get(key, 0) for key in ("CPU", "GPU")},
            )

    def _slot_of(self, name: str) -> _ActorSlot | None:
        return next((s for s in self._slots if s.trial is not None and s.trial.name == name), None)


def _free(slot: _ActorSlot) -> bool:
    return slot.ready and slot.trial is None


def _idle(slot: _ActorSlot) -> bool:
    return _free(slot) and slot.call is None
