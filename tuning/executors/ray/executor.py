"""Trials on a Ray cluster: an actor a slot, wherever the cluster has room for it.

Driver and actor take turns: the driver asks for the next event, and its question carries the
decision about the last. So a trial costs one message an epoch each way, and an actor or node that
is lost is an error of the one question that is open.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuning.core.errors import StudyFailedError
from tuning.core.interfaces import FindUploadTarget, Finished, Measured
from tuning.core.trial import CONTINUE, Decision, Failure, FailureKind, Measurement, Trial
from tuning.executors.local import available_cores, lost_result
from tuning.executors.ray.connection import bundles, connect, one_line, room
from tuning.executors.ray.node import Answer, Node, NodeOptions, Ready, Target
from tuning.executors.ray.uploads import PendingUploads
from tuning.training import worker
from tuning.training.checkpoint import CHECKPOINT
from tuning.training.messages import WorkerSpec

# Actors of one slot that end before they are ready, one after the other.
MAX_STARTS = 3
# Between two looks at whether an idle actor is still there.
LOOK_SECONDS = 2.0
# Between two words about a cluster that has no room.
NO_ROOM_SECONDS = 60.0

_log = logging.getLogger(__name__)


@dataclass
class _ActorSlot:
    """One actor and the trial that it trains, if any.

    ``question`` is open while the actor works; without one, and with a trial, the actor's newest
    epoch waits for a decision. A slot that is not ready and has no question is given up.
    """

    number: int
    actor: Any
    question: Any
    ready: bool = False
    shared: bool = True
    node: str = ""
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
        address: Of a running cluster, such as ``auto`` or ``host:6379``; empty to start
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
        self._own = connect(address, workers, trial_cpus, trial_gpus)
        self._closed = False
        self._given_up = ""
        self._waiting_since = self._looked = time.monotonic()
        self._needs = {"num_cpus": trial_cpus, "num_gpus": trial_gpus}
        self._slots: list[_ActorSlot] = []
        self._uploads = PendingUploads(self._folder)
        try:
            count = workers or room(trial_cpus, trial_gpus)
            if address:
                # The folder of this name on a node may hold another version of what was sent.
                spec = replace(spec, path=())
            self._options = NodeOptions(
                spec=spec,
                bundles=bundles(spec, send=bool(address) or shared is False),
                target=target,
                trial_memory_mb=trial_memory_mb,
                shared=shared,
                trial_cpus=trial_cpus,
            )
            # Only where all of them are on this machine, and nobody else's.
            ours = self._own and not address and not trial_gpus
            cores = available_cores() if ours else []
            self._cores = cores[:count] if trial_cpus == 1 and count <= len(cores) else []
            for number in range(count):
                self._slots.append(_ActorSlot(number, None, None))
                self._start(self._slots[-1])
        except BaseException:
            self.close()
            raise

    def upload_models_to(self, find_target: FindUploadTarget) -> None:
        """Has every node, of a Ray on this machine too, take models to the artifact store."""
        self._uploads.find_target = find_target

    @property
    def slots(self) -> int:
        """How many trials can be trained at once, where the cluster has room for all."""
        return len(self._slots)

    @property
    def free_slots(self) -> int:
        """How many trials can be submitted now; a slot whose actor waits for room is not free."""
        return sum(map(_free, self._slots))

    def submit(self, trial: Trial) -> None:
        """Starts a trial on a free actor."""
        slot = next(filter(_free, self._slots), None)
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
        self._look_at_the_idle()
        uploading = self._uploads.begin()
        alive = any(slot.ready or slot.question is not None for slot in self._slots)
        if self._given_up and not alive and not self._uploads.pending:
            raise StudyFailedError(f"no Ray worker can start: {self._given_up}")
        self._complain()
        questions = [slot.question for slot in self._slots if slot.question is not None]
        questions += uploading
        if not questions:
            ended = self._uploads.read(())
            if not ended:
                time.sleep(timeout_s)
            return ended
        answered, _ = ray.wait(questions, timeout=timeout_s)
        if answered:
            answered, _ = ray.wait(questions, num_returns=len(questions), timeout=0)
        events: list[Measured | Finished] = []
        for slot in self._slots:
            if slot.question in answered:
                events += self._read(slot)
        return [*events, *self._uploads.read(answered)]

    def reply(self, name: str, decision: Decision) -> None:
        """Sends an actor the decision on its newest epoch."""
        slot = self._slot_of(name)
        if slot is not None and slot.question is None:
            slot.question = slot.actor.go_on.remote(decision)

    def cancel(self, name: str, reason: str) -> None:
        """Kills the trial's actor and its worker; the slot gets a new one."""
        import ray

        self._uploads.fetch_now(name)
        slot = self._slot_of(name)
        if slot is not None:
            slot.cancelled = reason
            ray.kill(slot.actor)
            if slot.question is None:
                slot.question = slot.actor.go_on.remote(CONTINUE)  # fails, as it should

    def close(self) -> None:
        """Ends every actor at once, and the connection to Ray that was made here."""
        import ray

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
        if self._own:
            ray.shutdown()

    def _look_at_the_idle(self) -> None:
        now = time.monotonic()
        if now - self._looked > LOOK_SECONDS:
            self._looked = now
            for slot in filter(_idle, self._slots):
                slot.question = slot.actor.ready.remote()

    def _start(self, slot: _ActorSlot) -> None:
        import ray

        core = self._cores[slot.number] if self._cores else None
        # A lost trial is the driver's to train again: Ray would do it behind its back.
        actor = ray.remote(max_restarts=0, max_task_retries=0, **self._needs)(Node)
        slot.actor = actor.options(scheduling_strategy="SPREAD").remote(self._options, core)
        slot.ready, slot.question = False, slot.actor.ready.remote()

    def _read(self, slot: _ActorSlot) -> list[Measured | Finished]:
        import ray

        question, slot.question = slot.question, None
        try:
            answer: Answer | Ready = ray.get(question)
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
            self._start(slot)  # it was killed just after it had answered
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
        """What follows when an actor, or the node that it was on, is gone."""
        trial, slot.trial = slot.trial, None
        slot.failed_starts += not slot.ready
        if slot.failed_starts < MAX_STARTS:
            self._start(slot)
        else:
            self._given_up = one_line(error)
            _log.warning("Ray worker %d cannot start: %s", slot.number, self._given_up)
        # Others may have been on the same node; they get nothing until they have answered.
        for other in filter(_idle, self._slots):
            other.ready, other.question = False, other.actor.ready.remote()
        if trial is None:
            return []
        failure = Failure(kind=FailureKind.WORKER_LOST, message=one_line(error))
        lost = lost_result(
            slot.measurements, None if slot.cancelled else failure, f"ray-{slot.number}"
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
        elif now - self._waiting_since > NO_ROOM_SECONDS:
            self._waiting_since = now
            _log.warning(
                "the Ray cluster has had no room for a trial for %.0f s: one needs %s; free is %s",
                NO_ROOM_SECONDS,
                self._needs,
                {key: ray.available_resources().get(key, 0) for key in ("CPU", "GPU")},
            )

    def _slot_of(self, name: str) -> _ActorSlot | None:
        return next((s for s in self._slots if s.trial is not None and s.trial.name == name), None)


def _free(slot: _ActorSlot) -> bool:
    return slot.ready and slot.trial is None


def _idle(slot: _ActorSlot) -> bool:
    return _free(slot) and slot.question is None
