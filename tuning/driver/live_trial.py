"""A trial between its start and its end: where it is, and why it is being stopped."""

from dataclasses import dataclass, replace
from enum import Enum

from tuning.core.trial import CONTINUE, Decision, Measurement, Trial, TrialResult, TrialState
from tuning.driver.source import TrialSource


class Stage(Enum):
    """Where a trial is.

    ``TRAINING``: the executor has it. ``WAITS_FOR_DUPLICATE``: another trial of the same
    configuration is being trained, and this one will take its result. ``WAITS_FOR_RETRY``: its
    attempt failed, and the next one needs a free slot.
    """

    TRAINING = "training"
    WAITS_FOR_DUPLICATE = "waits for duplicate"
    WAITS_FOR_RETRY = "waits for retry"


class StopCause(Enum):
    """Why a trial is being stopped; a later cause replaces an earlier one."""

    SEARCHER = "searcher"
    USER = "user"
    LIMIT = "limit"


@dataclass(eq=False)
class LiveTrial:
    """A trial between its start and its end.

    Attributes:
        trial: The trial, with the number of its present attempt.
        source: The source that proposed it.
        stage: Where it is.
        submitted_at: When the present attempt was submitted, by the driver's clock.
        heard_at: When the executor last reported of it.
        reported_step: The last epoch that its searcher has learned.
        retries: Attempts after the first one.
        stop: The first decision to stop it, which the worker obeys.
        stop_cause: Why it is being stopped; None while it is not.
        limit_reason: The limit that it exceeded, in words; empty if none.
    """

    trial: Trial
    source: TrialSource
    stage: Stage = Stage.TRAINING
    submitted_at: float = 0.0
    heard_at: float = 0.0
    reported_step: int = 0
    retries: int = 0
    stop: Decision = CONTINUE
    stop_cause: StopCause | None = None
    limit_reason: str = ""

    @property
    def trains(self) -> bool:
        """Whether the executor has it."""
        return self.stage is Stage.TRAINING

    def submitted(self, now: float) -> None:
        """Notes the beginning of an attempt."""
        self.submitted_at = self.heard_at = now

    def heard(self, now: float, measurement: Measurement) -> bool:
        """Notes an epoch; whether its searcher has yet to learn it.

        An attempt after a loss repeats epochs, and a searcher learns each epoch once.
        """
        self.heard_at = now
        is_new = measurement.step > self.reported_step
        self.reported_step = max(self.reported_step, measurement.step)
        return is_new

    def request_stop(self, decision: Decision, cause: StopCause) -> None:
        """Has it stopped; the reason of the first request stays."""
        if not self.stop.stop:
            self.stop = decision
        if self.stop_cause is not StopCause.LIMIT:
            self.stop_cause = cause

    def exceed(self, reason: str) -> None:
        """Notes that it exceeded a limit."""
        self.stop_cause, self.limit_reason = StopCause.LIMIT, reason

    def slept(self, seconds: float) -> None:
        """Takes time in which this machine was suspended off its account."""
        self.submitted_at += seconds
        self.heard_at += seconds

    def wait_for_retry(self) -> None:
        """Prepares the next attempt, with the same seed."""
        self.retries += 1
        self.trial = replace(self.trial, attempt=self.trial.attempt + 1)
        self.stop, self.stop_cause = CONTINUE, None
        self.stage = Stage.WAITS_FOR_RETRY

    def final_result(self, result: TrialResult) -> TrialResult:
        """The result as the study records it, with the reason of an early end."""
        if self.stop_cause is StopCause.USER and result.state is TrialState.PRUNED:
            result = replace(result, state=TrialState.INTERRUPTED)
        if result.state in (TrialState.PRUNED, TrialState.INTERRUPTED):
            result = replace(result, stop_reason=self.stop.reason or "cancelled")
        return result
