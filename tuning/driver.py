"""The loop that runs every phase: searchers propose, an executor trains, listeners are told."""

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tuning.arm import Arm
from tuning.errors import InterruptedStudyError, StudyFailedError
from tuning.failures import FailurePolicy
from tuning.protocols import Executor, Finished, Measured, NoProposal, TrialListener
from tuning.seeds import derive_seed
from tuning.signals import StopSignal
from tuning.stopping import SearchLimit
from tuning.trial import (
    CONTINUE,
    Decision,
    Failure,
    Params,
    Proposal,
    Trial,
    TrialRecord,
    TrialResult,
    TrialState,
    trial_name,
)
from tuning.twins import Twins

POLL_SECONDS = 0.5
# Longer between two looks, and this process was suspended: so were its workers, most likely.
ASLEEP_SECONDS = 10.0
DRAIN_POLLS = 60

_STOPPED = Decision(stop=True, reason="stopped by the user")
_ENDED_EARLY = Decision(stop=True, reason="the study ended early")

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Running:
    """A trial between its submission and its end."""

    trial: Trial
    arm: Arm
    began: float = 0.0
    heard: float = 0.0
    told_step: int = 0
    retries: int = 0
    overdue: str = ""
    stop: Decision = field(default=CONTINUE)
    interrupted: bool = False
    waits: bool = False


class Driver:
    """Runs arms on an executor until each has spent its budget or has nothing left to propose.

    Args:
        executor: Trains the trials.
        listeners: Are told what happens.
        study_seed: From which the seeds of the trials are derived.
        fixed: Hyperparameters that every trial shares.
        policy: What follows a failure.
        stop: Set from outside, by a signal handler for example.
        clock: Seconds from any origin.
    """

    def __init__(
        self,
        executor: Executor,
        listeners: Sequence[TrialListener],
        *,
        study_seed: int,
        fixed: Params,
        policy: FailurePolicy | None = None,
        stop: StopSignal | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._executor = executor
        self._listeners = listeners
        self._study_seed = study_seed
        self._fixed = fixed
        self._policy = policy or FailurePolicy()
        self._stop = stop or StopSignal()
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._records: list[TrialRecord] = []
        self._twins = Twins()
        self._again: list[_Running] = []
        self._hopeless = ""
        self._looked = 0.0
        self._arms: Sequence[Arm] = ()
        self._limit: SearchLimit | None = None

    @property
    def records(self) -> Sequence[TrialRecord]:
        """The trials that have ended so far in this run, in the order in which they did."""
        return self._records

    def restore(self, records: Sequence[TrialRecord]) -> None:
        """Learns the trials of an earlier run: none of the search's is trained twice."""
        self._twins.restore(records)

    def run(self, arms: Sequence[Arm], limit: SearchLimit | None = None) -> list[TrialRecord]:
        """Runs the arms together.

        Args:
            arms: What to run.
            limit: Ends the search before its budget is spent: its arms are asked no more. Other
                phases go on.

        Returns:
            A record for each trial, in the order in which they ended.

        Raises:
            InterruptedStudyError: The user stopped it; what had ended was told to the listeners.
            StudyFailedError: A failure was fatal, or nothing but failures was seen.
        """
        self._arms, self._records, self._limit = arms, [], limit
        self._again.clear()
        self._looked = self._clock()
        self._stop.in_loop = True
        try:
            while True:
                left = self._fill()
                if not (self._running or left):
                    break
                self._prepare_one()
                for event in self._executor.poll(POLL_SECONDS):
                    if isinstance(event, Measured):
                        self._on_measured(event)
                    else:
                        self._on_finished(event)
                self._kill_overdue()
                if self._hopeless:
                    raise StudyFailedError(self._hopeless)
                if self._stop.level:
                    self._end_waiting(_STOPPED)
                if self._stop.level >= 2:
                    self._cancel_all(_STOPPED)
        except BaseException:
            self._drain()
            raise
        finally:
            self._stop.in_loop = False
        if self._stop.level:
            raise InterruptedStudyError(_STOPPED.reason)
        return self._records

    def _fill(self) -> bool:
        """Gives the free slots something to train; whether there is more than they could take."""
        while self._stop.level == 0:
            if not self._executor.free_slots:
                return bool(self._again) or bool(self._ready())
            if self._again:
                self._start(self._again.pop(0))
                continue
            ready = self._ready()
            if not ready:
                return False
            arm = min(ready, key=lambda arm: (arm.priority, not arm.pending, arm.asked))
            if arm.pending:
                trial = arm.pending.pop(0)
                self._start(_Running(replace(trial, attempt=trial.attempt + 1), arm))
                continue
            proposal = arm.searcher.ask(arm.asked)
            if proposal is NoProposal.EXHAUSTED:
                arm.exhausted = True
            elif proposal is NoProposal.WAIT:
                # With nothing of its own running, no tell will ever come.
                arm.waiting = any(running.arm is arm for running in self._running.values())
                arm.exhausted = not arm.waiting
            else:
                self._submit(arm, proposal)
        return False

    def _prepare_one(self) -> None:
        # One a turn, for workers wait for a reply after each epoch.
        for arm in self._arms:
            if arm.prepare is not None and self._stop.level == 0 and arm.open(self._late()):
                prepare, arm.prepare = arm.prepare, None
                prepare()
                return

    def _ready(self) -> list[Arm]:
        """The arms that may be asked now."""
        late = self._late()
        return [arm for arm in self._arms if arm.open(late) and self._may_begin(arm, late)]

    def _late(self) -> bool:
        return self._limit is not None and bool(self._limit.over())

    def _may_begin(self, arm: Arm, late: bool) -> bool:
        running = [each.arm for each in self._running.values()]
        return not any(first in running or first.open(late) for first in arm.after)

    def _submit(self, arm: Arm, proposal: Proposal) -> None:
        number = arm.asked
        arm.asked += 1
        seed = proposal.seed
        if seed is None:
            seed = derive_seed(self._study_seed, arm.searcher.name, number)
        trial = Trial(
            name=proposal.name or trial_name(arm.searcher.name, number),
            number=number,
            params={**proposal.params, **self._fixed},
            phase=arm.phase,
            searcher=arm.searcher.name,
            seed=seed,
            epochs=proposal.epochs or arm.epochs,
            resume_from=proposal.resume_from,
            keep_checkpoint=proposal.keep_checkpoint,
            tags=proposal.tags,
        )
        self._start(_Running(trial, arm))

    def _start(self, running: _Running) -> None:
        trial = running.trial
        self._running[trial.name] = running
        for listener in self._listeners:
            listener.trial_started(trial)
        self._train(running)

    def _train(self, running: _Running) -> None:
        """Has the trial trained, unless a twin was; or lets it wait for one that is."""
        trial = running.trial
        running.began = running.heard = self._clock()
        known = self._twins.result_for(trial)
        if known is not None:
            self._reuse(running, known)
            return
        running.waits = not self._twins.begin(trial)
        if not running.waits:
            self._executor.submit(trial)

    def _reuse(self, running: _Running, result: TrialResult) -> None:
        running.waits = False
        for measurement in result.measurements:
            running.arm.searcher.report(running.trial.number, measurement)
            for listener in self._listeners:
                listener.measured(running.trial, measurement)
        self._end(running, result)

    def _on_measured(self, event: Measured) -> None:
        running = self._running.get(event.name)
        if running is None or running.trial.attempt != event.attempt:
            return
        running.heard = self._clock()
        step = event.measurement.step
        decision = CONTINUE
        # An attempt after a loss repeats epochs; a searcher learns each epoch once.
        if step > running.told_step:
            running.told_step = step
            decision = running.arm.searcher.report(running.trial.number, event.measurement)
        late = self._limit.out_of_time() if self._limit and running.arm.searches else ""
        if self._stop.level:
            running.interrupted = True
            decision = _STOPPED
        elif late and not decision.stop:
            decision = Decision(stop=True, reason=late)
        if not running.stop.stop:
            running.stop = decision
        self._executor.reply(event.name, running.stop)
        for listener in self._listeners:
            listener.measured(running.trial, event.measurement)

    def _on_finished(self, event: Finished) -> None:
        running = self._running.get(event.name)
        if running is None or running.trial.attempt != event.attempt:
            return
        result = self._policy.judge(event.result, running.overdue)
        if result.failure is not None and self._policy.may_retry(result.failure, running.retries):
            if not self._stop.level:
                self._retry(running, result.failure)
                return
            # What stopped the driver may have killed the worker too; a resume trains it again.
            running.stop = _STOPPED
            result = replace(result, state=TrialState.INTERRUPTED, failure=None)
        if running.interrupted and result.state is TrialState.PRUNED:
            result = replace(result, state=TrialState.INTERRUPTED)
        if result.state in (TrialState.PRUNED, TrialState.INTERRUPTED):
            result = replace(result, stop_reason=running.stop.reason or "cancelled")
        self._end(running, result)
        self._hopeless = self._policy.count(result.failure) or self._hopeless

    def _retry(self, running: _Running, failure: Failure) -> None:
        trial = running.trial
        _log.warning("%s: %s; trained again with the same seed", trial.name, failure.message)
        running.retries += 1
        running.trial = replace(trial, attempt=trial.attempt + 1)
        running.stop = CONTINUE
        # Its slot may have been given away already, if the worker was dead when it was submitted.
        running.waits = True
        self._again.append(running)

    def _kill_overdue(self) -> None:
        now = self._clock()
        if now - self._looked < POLL_SECONDS:
            return  # a thousand workers report more often than any limit has to be looked at
        asleep = now - self._looked if now - self._looked > ASLEEP_SECONDS else 0.0
        self._looked = now
        for name, running in self._running.items():
            running.began += asleep
            running.heard += asleep
            if not running.overdue and not running.waits:
                running.overdue = self._policy.overdue(now - running.began, now - running.heard)
                if running.overdue:
                    self._executor.cancel(name, running.overdue)

    def _end(self, running: _Running, result: TrialResult) -> None:
        trial = running.trial
        del self._running[trial.name]
        running.arm.searcher.tell(trial.number, result)
        running.arm.waiting = False
        self._records.append(TrialRecord(trial=trial, result=result))
        if self._limit is not None and running.arm.searches:
            self._limit.learn(result)
        for listener in self._listeners:
            listener.trial_finished(trial, result)
        waiting = self._twins.end(trial, result)
        # After a stop nothing begins; those that wait are ended by the loop.
        if self._stop.level == 0:
            for name in waiting:
                self._train(self._running[name])

    def _waiting(self) -> list[_Running]:
        return [running for running in self._running.values() if running.waits]

    def _end_waiting(self, stop: Decision) -> None:
        for running in self._waiting():
            self._end(running, TrialResult(state=TrialState.INTERRUPTED, stop_reason=stop.reason))

    def _cancel_all(self, stop: Decision) -> None:
        for name, running in self._running.items():
            running.interrupted = True
            running.stop = stop
            self._executor.cancel(name, stop.reason)

    def _drain(self) -> None:
        """Ends what is running, so that no listener waits for an end that never comes."""
        for running in self._waiting():
            self._abandon(running, TrialResult(state=TrialState.INTERRUPTED))
        self._cancel_all(_ENDED_EARLY)
        with contextlib.suppress(StudyFailedError):  # nothing is left that could answer
            for _ in range(DRAIN_POLLS):
                if not self._running:
                    return
                for event in self._executor.poll(POLL_SECONDS):
                    if isinstance(event, Finished) and event.name in self._running:
                        self._abandon(self._running[event.name], event.result)
        # Their ends were in the events that the error has swallowed.
        for running in list(self._running.values()):
            self._abandon(running, TrialResult(state=TrialState.INTERRUPTED))

    def _abandon(self, running: _Running, result: TrialResult) -> None:
        del self._running[running.trial.name]
        if result.state is not TrialState.COMPLETED:
            result = TrialResult(
                state=TrialState.INTERRUPTED,
                measurements=result.measurements,
                duration_s=result.duration_s,
                stop_reason=_ENDED_EARLY.reason,
            )
        for listener in self._listeners:
            # What brought the driver down may be a listener; the others still want to know.
            with contextlib.suppress(Exception):
                listener.trial_finished(running.trial, result)
