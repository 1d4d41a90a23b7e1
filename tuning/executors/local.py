"""Worker processes on this machine: persistent, one a core or GPU, replaced if lost or large."""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from tuning.core.interfaces import Finished, Measured
from tuning.core.trial import (
    Decision,
    Failure,
    FailureKind,
    Measurement,
    Trial,
    TrialResult,
    TrialState,
)
from tuning.training import worker
from tuning.training.messages import Done, Epoch, Reply, Train, WorkerSpec

# Between two looks at how much memory the workers hold.
MEMORY_SECONDS = 1.0


@dataclass
class _WorkerSlot:
    """One worker process and the trial that it trains, if any."""

    spec: WorkerSpec
    core: int | None
    process: SpawnProcess
    connection: Connection
    trial: Trial | None = None
    measurements: tuple[Measurement, ...] = ()
    cancelled: str = ""
    over_limit: str = ""
    dead: bool = False
    first_memory_mb: float = 0.0


class LocalExecutor:
    """Trains on this machine, one process a slot.

    Args:
        spec: What every worker is told.
        workers: How many; 0 means one for each core that this process may use, or for each of
            ``devices``.
        memory_limit_mb: A worker that holds more than this after a trial is replaced, so that what
            Keras does not free cannot add up; 0 means an equal share of half the memory, but no
            less than twice what the worker held after its first trial.
        target: The worker's main function.
        trial_memory_mb: A trial whose process holds more is killed and has failed; None for no
            limit.
        devices: Environment variables of each worker, in turn, such as the GPU that it may use;
            empty to train on the CPU, each worker pinned to a core.
        cores: To pin the workers to, one each; empty to pin none; None for those that this process
            may use.
        sharing: How many workers share the machine's memory; 0 means these alone.
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
        self._looked = 0.0
        self._target = target
        self._context = multiprocessing.get_context("spawn")
        cores = available_cores() if cores is None else cores
        count = workers or len(devices) or len(cores)
        self._memory_limit_mb = memory_limit_mb
        self._memory_share_mb = _memory_share_mb(sharing or count)
        # More workers than cores share them, so pinning would only hinder the scheduler; and what
        # feeds a GPU uses several threads.
        pin = count <= len(cores) and not devices
        pinned: list[int | None] = [*cores[:count]] if pin else [None] * count
        self._slots: list[_WorkerSlot] = []
        self._lost: list[Finished] = []
        self._closed = False
        for number, core in enumerate(pinned):
            device = devices[number % len(devices)] if devices else {}
            told = replace(spec, environment={**spec.environment, **device})
            self._slots.append(self._start(told, core))

    @property
    def slots(self) -> int:
        """How many trials can be trained at once."""
        return len(self._slots)

    @property
    def free_slots(self) -> int:
        """How many trials can be submitted now."""
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
        """Waits for what the workers say, and for their deaths."""
        self._kill_the_too_large()
        events: list[Measured | Finished] = [*self._lost]
        self._lost.clear()
        if events:
            timeout_s = 0
        by_object: dict[Any, _WorkerSlot] = {}
        for slot in self._slots:
            if slot.dead:
                continue
            by_object[slot.connection] = by_object[slot.process.sentinel] = slot
        ready = {id(by_object[item]): by_object[item] for item in wait(by_object, timeout_s)}
        for slot in ready.values():
            events += self._read(slot)
        events += self._lost
        self._lost.clear()
        return events

    def reply(self, name: str, decision: Decision) -> None:
        """Sends a worker the decision on its newest epoch."""
        slot = self._slot_of(name)
        if slot is None or not slot.measurements:
            return
        with contextlib.suppress(OSError):  # poll sees the death
            slot.connection.send(Reply(name, slot.measurements[-1].step, decision))

    def cancel(self, name: str, reason: str) -> None:
        """Kills the trial's process; the slot gets a new one."""
        slot = self._slot_of(name)
        if slot is not None:
            slot.cancelled = reason
            slot.process.kill()

    def close(self) -> None:
        """Ends every worker at once: whatever it still does, nobody waits for it."""
        if self._closed:
            return
        self._closed = True
        for slot in self._slots:
            slot.connection.close()
            slot.process.kill()
        for slot in self._slots:
            slot.process.join()
            slot.process.close()

    def _kill_the_too_large(self) -> None:
        limit, now = self._trial_memory_mb, time.monotonic()
        if limit is None or now - self._looked < MEMORY_SECONDS:
            return
        self._looked = now
        for slot in self._slots:
            if slot.trial is not None and (held := _memory_mb(slot.process.pid)) > limit:
                slot.over_limit = f"held {held:,.0f} MB (limits.memory_mb is {limit:,.0f})"
                slot.process.kill()

    def _start(self, spec: WorkerSpec, core: int | None) -> _WorkerSlot:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=self._target, args=(theirs, spec, core), daemon=True, name="tuning-worker"
        )
        process.start()
        theirs.close()  # so that the worker's death closes the pipe
        return _WorkerSlot(spec, core, process, ours)

    def _read(self, slot: _WorkerSlot) -> list[Measured | Finished]:
        events: list[Measured | Finished] = []
        try:
            while slot.connection.poll():
                events += self._receive(slot, slot.connection.recv())
        except (EOFError, OSError):
            self._lose(slot)
            return events
        if not slot.process.is_alive():
            self._lose(slot)
        return events

    def _receive(self, slot: _WorkerSlot, message: object) -> list[Measured | Finished]:
        match message:
            case Epoch(name, attempt, measurement):
                slot.measurements += (measurement,)
                return [Measured(name=name, attempt=attempt, measurement=measurement)]
            case Done(name, attempt, result, memory_mb):
                slot.trial = None
                slot.first_memory_mb = slot.first_memory_mb or memory_mb
                share = max(self._memory_share_mb, 2 * slot.first_memory_mb)
                failure = result.failure
                # One that ran out of memory may have lost more than the trial.
                exhausted = failure is not None and failure.kind is FailureKind.WORKER_LOST
                if exhausted or memory_mb > (self._memory_limit_mb or share):
                    self._replace(slot)
                worker_name = f"local-{self._slots.index(slot)}"
                return [
                    Finished(
                        name=name, attempt=attempt, result=replace(result, worker=worker_name)
                    )
                ]
        return []

    def _lose(self, slot: _WorkerSlot) -> None:
        trial = slot.trial
        # Replaced when it is needed again: one that cannot even start would be replaced for ever.
        slot.dead, slot.trial = True, None
        if trial is not None:
            slot.process.join(1)
            result = lost_result(slot.measurements, None if slot.cancelled else _why(slot))
            self._lost.append(Finished(name=trial.name, attempt=trial.attempt, result=result))

    def _replace(self, slot: _WorkerSlot) -> None:
        slot.connection.close()
        slot.process.kill()
        slot.process.join()
        new = self._start(slot.spec, slot.core)
        slot.process, slot.connection = new.process, new.connection
        slot.dead, slot.first_memory_mb = False, 0.0

    def _slot_of(self, name: str) -> _WorkerSlot | None:
        return next((s for s in self._slots if s.trial is not None and s.trial.name == name), None)


def available_cores() -> list[int]:
    """The cores that this process may use, by number."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _memory_share_mb(workers: int) -> float:
    import psutil

    return float(psutil.virtual_memory().total / 1e6 / 2 / workers)


def _memory_mb(pid: int | None) -> float:
    import psutil

    try:
        return float(psutil.Process(pid).memory_info().rss / 1e6)
    except psutil.Error:  # it has just ended, which poll sees
        return 0.0


def _why(slot: _WorkerSlot) -> Failure:
    if slot.over_limit:
        return Failure(kind=FailureKind.LIMIT, message=slot.over_limit)
    return Failure(
        kind=FailureKind.WORKER_LOST,
        message=f"the worker process died (exit code {slot.process.exitcode})",
    )


def lost_result(
    measurements: tuple[Measurement, ...], failure: Failure | None, worker: str = ""
) -> TrialResult:
    """The end of an attempt of which nobody has told the end.

    Args:
        measurements: Its epochs.
        failure: Why; None if it was cancelled.
        worker: That trained it.
    """
    return TrialResult(
        state=TrialState.INTERRUPTED if failure is None else TrialState.FAILED,
        measurements=measurements,
        duration_s=measurements[-1].elapsed_s if measurements else 0.0,
        failure=failure,
        worker=worker,
    )
