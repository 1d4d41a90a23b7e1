"""Executor with worker processes on this machine, one per core or GPU.

A worker trains many trials. It is replaced if it dies or if its memory has grown too much.
"""

import contextlib
import multiprocessing
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from tuning.core.interfaces import Finished, Measured
from tuning.core.trial import Decision, Failure, FailureKind, Measurement, Trial
from tuning.executors.machine import available_cores, core_quota, memory_mb, usable_cores
from tuning.training import worker
from tuning.training.messages import Done, Epoch, Reply, Train, WorkerSpec, lost_result

# Seconds between two checks of the workers' memory.
MEMORY_SECONDS = 1.0


@dataclass(eq=False)
class _WorkerSlot:
    """One worker process and the trial that it trains, if any."""

    spec: WorkerSpec
    core: int | None
    process: SpawnProcess = field(init=False)
    connection: Connection = field(init=False)
    trial: Trial | None = None
    measurements: tuple[Measurement, ...] = ()
    cancelled: str = ""
    over_limit: str = ""
    dead: bool = False
    first_memory_mb: float = 0.0


class LocalExecutor:
    """Executor that trains on this machine, with one worker process per slot.

    Args:
        spec: Settings of every worker.
        workers: Number of workers; 0 means one per entry of ``devices``, or one per core if
            ``devices`` is empty.
        memory_limit_mb: Memory of a worker after a trial, in MB, above which the worker is
            replaced, because Keras does not free all memory of a trial. 0 means an equal share
            of half the memory of the machine or its container, and at least twice the memory that
            the worker held after its first trial.
        target: Main function of the worker.
        trial_memory_mb: Memory of a worker during a trial, in MB, above which the worker is
            killed and the trial fails; None for no limit.
        devices: Environment variables that select the device of a worker, such as its GPU. The
            workers take the entries in turn; empty to train on the CPU.
        cores: Cores to which the workers are pinned, one per worker; empty to pin no worker; None
            for all cores that this process may use. Workers are not pinned if ``devices`` is
            given or if there are fewer cores than workers.
        sharing: Number of workers that share the machine's memory; 0 means only the workers of
            this executor.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        workers: int = 0,
        memory_limit_mb: float = 0.0,
        target: Callable[[Connection, Any, int | None], None] = worker.main,
        devices: Sequence[Mapping[str, str]] = (),
        trial_memory_mb: float | None = None,
        cores: Sequence[int] | None = None,
        sharing: int = 0,
    ) -> None:
        self._trial_memory_mb = trial_memory_mb
        self._memory_checked = 0.0
        self._target = target
        self._context = multiprocessing.get_context("spawn")
        if cores is None:
            count = workers or len(devices) or usable_cores()
            # A quota names no core, and other containers would be pinned to the same first ones.
            cores = available_cores() if core_quota() is None else []
        else:
            count = workers or len(devices) or len(cores) or 1
        self._memory_limit_mb = memory_limit_mb
        self._memory_share_mb = memory_mb() / 2 / (sharing or count)
        # With fewer cores than workers, pinning only hinders the scheduler. A worker with a GPU
        # uses several threads to feed it.
        pin = count <= len(cores) and not devices
        pinned: list[int | None] = [*cores[:count]] if pin else [None] * count
        self._slots: list[_WorkerSlot] = []
        self._events: list[Measured | Finished] = []
        self._closed = False
        for number, core in enumerate(pinned):
            device = devices[number % len(devices)] if devices else {}
            worker_spec = replace(spec, environment={**spec.environment, **device})
            self._slots.append(_WorkerSlot(worker_spec, core))
            self._start(self._slots[-1])

    @property
    def slots(self) -> int:
        """Number of trials that can be trained at once."""
        return len(self._slots)

    @property
    def free_slots(self) -> int:
        """Number of trials that can be submitted now."""
        return sum(slot.trial is None for slot in self._slots)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [slot.process.pid for slot in self._slots if slot.process.pid is not None]

    def submit(self, trial: Trial) -> None:
        """Starts a trial in a free slot."""
        slot = next((slot for slot in self._slots if slot.trial is None), None)
        if slot is None:
            raise RuntimeError("no slot is free")
        if slot.dead:
            self._replace(slot)
        slot.trial, slot.measurements, slot.cancelled, slot.over_limit = trial, (), "", ""
        try:
            slot.connection.send(Train(trial))
        except OSError:
            self._lose(slot)

    def poll(self, timeout_s: float) -> Sequence[Measured | Finished]:
        """Waits for messages of the workers, and notices workers that have died."""
        self._kill_over_limit()
        by_object: dict[Any, _WorkerSlot] = {}
        for slot in self._slots:
            if not slot.dead:
                by_object[slot.connection] = by_object[slot.process.sentinel] = slot
        ready = wait(by_object, 0 if self._events else timeout_s)
        for slot in dict.fromkeys(by_object[item] for item in ready):
            self._read(slot)
        events, self._events = self._events, []
        return events

    def reply(self, name: str, decision: Decision) -> None:
        """Sends the decision on a trial's newest epoch to its worker."""
        slot = self._slot_of(name)
        if slot is None or not slot.measurements:
            return
        with contextlib.suppress(OSError):  # poll notices that the worker died
            slot.connection.send(Reply(name, slot.measurements[-1].step, decision))

    def cancel(self, name: str, reason: str) -> None:
        """Kills the worker that trains the trial; the slot gets a new worker."""
        slot = self._slot_of(name)
        if slot is not None:
            slot.cancelled = reason
            slot.process.kill()

    def close(self) -> None:
        """Kills every worker at once, also a worker that still trains."""
        if self._closed:
            return
        self._closed = True
        for slot in self._slots:
            slot.connection.close()
            slot.process.kill()
        for slot in self._slots:
            slot.process.join()
            slot.process.close()

    def _kill_over_limit(self) -> None:
        limit, now = self._trial_memory_mb, time.monotonic()
        if limit is None or now - self._memory_checked < MEMORY_SECONDS:
            return
        self._memory_checked = now
        for slot in self._slots:
            if slot.trial is not None and (mb := worker.memory_of(slot.process.pid)) > limit:
                slot.over_limit = f"the worker held {mb:,.0f} MB; limits.memory_mb is {limit:,.0f}"
                slot.process.kill()

    def _start(self, slot: _WorkerSlot) -> None:
        slot.connection, worker_end = self._context.Pipe()
        arguments = (worker_end, slot.spec, slot.core)
        slot.process = self._context.Process(
            target=self._target, args=arguments, daemon=True, name="tuning-worker"
        )
        with _without_main_module():
            slot.process.start()
        worker_end.close()  # so that the pipe closes when the worker dies
        slot.dead, slot.first_memory_mb = False, 0.0

    def _read(self, slot: _WorkerSlot) -> None:
        try:
            while slot.connection.poll():
                self._receive(slot, slot.connection.recv())
            alive = slot.process.is_alive()
        except (EOFError, OSError):
            alive = False
        if not alive:
            self._lose(slot)

    def _receive(self, slot: _WorkerSlot, message: object) -> None:
        match message:
            case Epoch(name, attempt, measurement):
                slot.measurements += (measurement,)
                event = Measured(name=name, attempt=attempt, measurement=measurement)
                self._events.append(event)
            case Done(name, attempt, result, memory_mb):
                slot.trial = None
                slot.first_memory_mb = slot.first_memory_mb or memory_mb
                share = max(self._memory_share_mb, 2 * slot.first_memory_mb)
                failure = result.failure
                # A worker that ran out of memory may be damaged, so it trains no other trial.
                harmful = FailureKind.WORKER_LOST, FailureKind.OUT_OF_MEMORY
                exhausted = failure is not None and failure.kind in harmful
                if exhausted or memory_mb > (self._memory_limit_mb or share):
                    self._replace(slot)
                result = replace(result, worker=f"local-{self._slots.index(slot)}")
                self._events.append(Finished(name=name, attempt=attempt, result=result))

    def _lose(self, slot: _WorkerSlot) -> None:
        trial = slot.trial
        # `submit` replaces the worker when the slot is used again. Replacing it here would never
        # end for a worker that cannot start.
        slot.dead, slot.trial = True, None
        if trial is not None:
            slot.process.join(1)
            result = lost_result(slot.measurements, None if slot.cancelled else _failure(slot))
            self._events.append(Finished(name=trial.name, attempt=trial.attempt, result=result))

    def _replace(self, slot: _WorkerSlot) -> None:
        slot.connection.close()
        slot.process.kill()
        slot.process.join()
        self._start(slot)

    def _slot_of(self, name: str) -> _WorkerSlot | None:
        return next((s for s in self._slots if s.trial is not None and s.trial.name == name), None)


@contextlib.contextmanager
def _without_main_module() -> Iterator[None]:
    """Starts a process that does not run the user's script again.

    A process that is spawned imports the main module, which of a script without
    ``if __name__ == "__main__"`` would start the study once more.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _failure(slot: _WorkerSlot) -> Failure:
    if slot.over_limit:
        return Failure(kind=FailureKind.LIMIT, message=slot.over_limit)
    return Failure(
        kind=FailureKind.WORKER_LOST,
        message=f"the worker process died (exit code {slot.process.exitcode})",
    )
