"""The loop of all phases: sources propose, an executor trains, and listeners are informed."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from tuning.core.errors import InterruptedStudyError, StudyFailedError, TuningError
from tuning.core.interfaces import Executor, Finished, Measured, TrialListener
from tuning.core.trial import (
    CONTINUE,
    Decision,
    Failure,
    Params,
    Phase,
    TrialRecord,
    TrialResult,
    TrialState,
)
from tuning.driver.duplicates import Duplicates
from tuning.driver.failures import FailurePolicy
from tuning.driver.interrupts import StopSignal
from tuning.driver.live_trial import LiveTrial, Stage, StopCause
from tuning.driver.search_limit import SearchLimit
from tuning.driver.source import TrialSource
from tuning.driver.source_pool import SourcePool

POLL_SECONDS = 0.5
# A longer time between two checks of the limits shows that this machine was suspended.
SUSPENDED_SECONDS = 10.0
DRAIN_POLLS = 60

_STOPPED = Decision(stop=True, reason="stopped by the user")
_ENDED_EARLY = Decision(stop=True, reason="the study ended early")

_log = logging.getLogger(__name__)


class Driver:
    """Runs sources on an executor until all budgets are spent or no source has more proposals.

    Args:
        executor: Executor that trains the trials.
        listeners: Objects that are informed about every trial.
        study_seed: Seed of the study, from which the seeds of the trials are derived.
        fixed: Hyperparameters that have the same value in every trial.
        policy: Rule for failures.
        stop: Signal that ends the run; a signal handler sets it, for example.
        clock: Function that returns seconds since an arbitrary origin.
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
        self._live: dict[str, LiveTrial] = {}
        self._records: list[TrialRecord] = []
        self._earlier: list[TrialRecord] = []
        self._duplicates = Duplicates()
        self._retries: list[LiveTrial] = []
        self._fatal: TuningError | None = None
        self._checked_at = 0.0
        self._pool = SourcePool((), None, study_seed, fixed)

    @property
    def records(self) -> Sequence[TrialRecord]:
        """Trials that have ended so far in this run, in the order of their ends."""
        return self._records

    def trained(self, *phases: Phase) -> list[TrialRecord]:
        """Returns the trials of these phases that have ended, in this run or an earlier one."""
        latest = {record.trial.name: record for record in [*self._earlier, *self._records]}
        return [
            record
            for record in latest.values()
            if record.trial.phase in phases and record.result.state is not TrialState.INTERRUPTED
        ]

    def restore(self, records: Sequence[TrialRecord]) -> None:
        """Learns the trials of an earlier run, so that no search trial is trained twice."""
        self._earlier = [*records]
        self._duplicates.restore(records)

    def run(
        self, sources: Sequence[TrialSource], limit: SearchLimit | None = None
    ) -> list[TrialRecord]:
        """Runs the sources together.

        Args:
            sources: Sources of trials.
            limit: Rule that ends the search before its budget is spent; the other phases continue.

        Returns:
            Records of all trials, in the order of their ends.

        Raises:
            InterruptedStudyError: The user stopped the run; the listeners know the ended trials.
            StudyFailedError: A failure was fatal, too many trials in a row failed, or no worker
                is left.
            BadInputError: A worker refused the task or its model.
        """
        self._pool = SourcePool(sources, limit, self._study_seed, self._fixed)
        self._records = []
        self._retries.clear()
        self._checked_at = self._clock()
        self._stop.in_loop = True
        try:
            while self._fill_slots() or self._live:
                self._turn()
        except BaseException:
            self._drain()
            raise
        finally:
            self._stop.in_loop = False
        if self._stop.level:
            raise InterruptedStudyError(_STOPPED.reason)
        return self._records

    def _turn(self) -> None:
        """Runs one turn of the loop: handles the executor's events, the limits and a stop."""
        if self._stop.level == 0:
            self._pool.prepare_one()
        for event in self._executor.poll(POLL_SECONDS):
            if isinstance(event, Measured):
                self._on_measured(event)
            else:
                self._on_finished(event)
        self._kill_overdue()
        if self._fatal is not None:
            raise self._fatal
        if self._stop.level:
            self._interrupt_waiting()
        if self._stop.level >= 2:
            self._cancel_all(_STOPPED)

    # Proposing

    def _fill_slots(self) -> bool:
        """Starts trials in the free slots; returns whether more trials wait for a slot."""
        while self._stop.level == 0:
            has_slot = bool(self._executor.free_slots)
            if self._retries:
                if not has_slot:
                    return True
                self._start(self._retries.pop(0))
                continue
            busy = {live.source for live in self._live.values()}
            source = self._pool.next_source(busy, lambda: self.trained(*Phase))
            if source is None or not has_slot:
                return source is not None
            trial = self._pool.next_trial(source, source in busy)
            if trial is not None:
                self._start(LiveTrial(trial, source))
        return False

    # Training

    def _start(self, live: LiveTrial) -> None:
        self._live[live.trial.name] = live
        for listener in self._listeners:
            listener.trial_started(live.trial)
        self._train(live)

    def _train(self, live: LiveTrial) -> None:
        """Submits a trial, reuses the result of a duplicate, or waits for that result."""
        live.submitted(self._clock())
        result = self._duplicates.result_for(live.trial)
        if result is not None:
            self._reuse(live, result)
        elif self._duplicates.begin(live.trial):
            live.stage = Stage.TRAINING
            self._executor.submit(live.trial)
        else:
            live.stage = Stage.WAITS_FOR_DUPLICATE

    def _reuse(self, live: LiveTrial, result: TrialResult) -> None:
        for measurement in result.measurements:
            live.source.searcher.report(live.trial.number, measurement)
            for listener in self._listeners:
                listener.measured(live.trial, measurement)
        self._end(live, result)

    def _live_attempt(self, event: Measured | Finished) -> LiveTrial | None:
        """Returns the trial of an event; None if the attempt of the event is over."""
        live = self._live.get(event.name)
        return live if live is not None and live.trial.attempt == event.attempt else None

    def _on_measured(self, event: Measured) -> None:
        live = self._live_attempt(event)
        if live is None:
            return
        decision = CONTINUE
        if live.heard(self._clock(), event.measurement):
            decision = live.source.searcher.report(live.trial.number, event.measurement)
        late = self._pool.late(live.source)
        if self._stop.level:
            live.request_stop(_STOPPED, StopCause.USER)
        elif decision.stop:
            live.request_stop(decision, StopCause.SEARCHER)
        elif late:
            live.request_stop(Decision(stop=True, reason=late), StopCause.SEARCHER)
        self._executor.reply(event.name, live.stop)
        for listener in self._listeners:
            listener.measured(live.trial, event.measurement)

    def _on_finished(self, event: Finished) -> None:
        live = self._live_attempt(event)
        if live is None:
            return
        result = self._policy.judge(event.result, live.limit_reason)
        if result.failure is not None and self._policy.may_retry(result.failure, live.retries):
            if self._stop.level == 0:
                self._retry(live, result.failure)
                return
            # The stop signal may have killed the worker, too; a resume trains the trial again.
            live.stop = _STOPPED
            result = replace(result, state=TrialState.INTERRUPTED, failure=None)
        result = live.final_result(result)
        self._end(live, result)
        self._fatal = self._policy.count(result.failure) or self._fatal

    def _retry(self, live: LiveTrial, failure: Failure) -> None:
        _log.warning(
            "%s: %s; it is trained again with the same seed", live.trial.name, failure.message
        )
        live.wait_for_retry()
        # The slot may be in use again, if the worker was already dead at the submission.
        self._retries.append(live)

    def _kill_overdue(self) -> None:
        now = self._clock()
        passed = now - self._checked_at
        if passed < POLL_SECONDS:
            return  # with many workers, events arrive more often than limits need a check
        self._checked_at = now
        for name, live in self._live.items():
            if passed > SUSPENDED_SECONDS:
                live.slept(passed)
            if not live.trains or live.limit_reason:
                continue
            reason = self._policy.overdue(now - live.submitted_at, now - live.heard_at)
            if reason:
                live.exceed(reason)
                self._executor.cancel(name, reason)

    # Ending

    def _end(self, live: LiveTrial, result: TrialResult) -> None:
        trial = live.trial
        del self._live[trial.name]
        live.source.searcher.tell(trial.number, result)
        live.source.waiting = False
        record = TrialRecord(trial=trial, result=result)
        self._records.append(record)
        self._pool.learn(record)
        for listener in self._listeners:
            listener.trial_finished(trial, result)
        waiting = self._duplicates.end(trial, result)
        # After a stop no trial begins; the loop interrupts the trials that wait.
        if self._stop.level == 0:
            for name in waiting:
                self._train(self._live[name])

    def _waiting(self) -> list[LiveTrial]:
        return [live for live in self._live.values() if not live.trains]

    def _interrupt_waiting(self) -> None:
        for live in self._waiting():
            interrupted = TrialResult(state=TrialState.INTERRUPTED, stop_reason=_STOPPED.reason)
            self._end(live, interrupted)

    def _cancel_all(self, decision: Decision) -> None:
        for name, live in self._live.items():
            live.stop = decision
            live.request_stop(decision, StopCause.USER)
            self._executor.cancel(name, decision.reason)

    def _drain(self) -> None:
        """Ends the running trials, so that the listeners learn an end of every trial."""
        for live in self._waiting():
            self._abandon(live, TrialResult(state=TrialState.INTERRUPTED))
        self._cancel_all(_ENDED_EARLY)
        with contextlib.suppress(StudyFailedError):  # no worker is left
            self._drain_executor()
        # The ends of these trials were among the events that the error discarded.
        for live in list(self._live.values()):
            self._abandon(live, TrialResult(state=TrialState.INTERRUPTED))

    def _drain_executor(self) -> None:
        for _ in range(DRAIN_POLLS):
            if not self._live:
                return
            for event in _ends(self._executor.poll(POLL_SECONDS)):
                if event.name in self._live:
                    self._abandon(self._live[event.name], event.result)

    def _abandon(self, live: LiveTrial, result: TrialResult) -> None:
        del self._live[live.trial.name]
        if result.state is not TrialState.COMPLETED:
            result = TrialResult(
                state=TrialState.INTERRUPTED,
                measurements=result.measurements,
                duration_s=result.duration_s,
                stop_reason=_ENDED_EARLY.reason,
            )
        for listener in self._listeners:
            # The error may come from a listener; the other listeners still need the result.
            with contextlib.suppress(Exception):
                listener.trial_finished(live.trial, result)


def _ends(events: Iterable[Measured | Finished]) -> list[Finished]:
    return [event for event in events if isinstance(event, Finished)]
