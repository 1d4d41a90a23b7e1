"""The state of a trial between its start and its end."""

from dataclasses import dataclass, replace
from enum import Enum

from tuning.core.trial import CONTINUE, Decision, Measurement, Trial, TrialResult, TrialState
from tuning.driver.source import TrialSource


class Stage(Enum):
    """The stage of a live trial.

    ``TRAINING``: The executor has the trial. ``WAITS_FOR_DUPLICATE``: A trial with the same
    configuration is being trained, and this trial waits for its result. ``WAITS_FOR_RETRY``: An
    attempt failed, and the next attempt waits for a free slot.
    """

    TRAINING = "training"
    WAITS_FOR_DUPLICATE = "waits for duplicate"
    WAITS_FOR_RETRY = "waits for retry"


class StopCause(Enum):
    """The cause of a stop; a later cause replaces an earlier one, but none replaces ``LIMIT``.

    ``SEARCHER``: The searcher or the time limit of the search. ``USER``: A stop of the whole
    study. ``LIMIT``: A limit per trial.
    """

    SEARCHER = "searcher"
    USER = "user"
    LIMIT = "limit"


@dataclass(eq=False)
class LiveTrial:
    """A trial between its start and its end.

    Attributes:
        trial: The trial, with the number of its current attempt.
        source: Source that proposed the trial.
        stage: Current stage.
        submitted_at: Time of the current attempt's submission, in seconds of the driver's clock.
        heard_at: Time of the last report from the executor, in seconds of the driver's clock.
        reported_step: Last epoch that the searcher has learned.
        retries: Number of retries in this run.
        stop: Decision for the worker: to continue, or to stop for a reason.
        stop_cause: Cause of the stop; None if the trial is not being stopped.
        limit_reason: Limit that the trial exceeded, in words; empty if none.
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
        """Whether the executor has the trial."""
        return self.stage is Stage.TRAINING

    def submitted(self, now: float) -> None:
        """Records the beginning of an attempt."""
        self.submitted_at = self.heard_at = now

    def heard(self, now: float, measurement: Measurement) -> bool:
        """Records a report of an epoch; returns whether the epoch is new for the searcher.

        A second attempt may repeat epochs, but the searcher learns each epoch only once.
        """
        self.heard_at = now
        is_new = measurement.step > self.reported_step
        self.reported_step = max(self.reported_step, measurement.step)
        return is_new

    def request_stop(self, decision: Decision, cause: StopCause) -> None:
        """Requests a stop; the reason of the first request stays."""
        if not self.stop.stop:
            self.stop = decision
        if self.stop_cause is not StopCause.LIMIT:
            self.stop_cause = cause

    def exceed(self, reason: str) -> None:
        """Records that the trial exceeded a limit."""
        self.stop_cause, self.limit_reason = StopCause.LIMIT, reason

    def slept(self, seconds: float) -> None:
        """Excludes the time during which this machine was suspended."""
        self.submitted_at += seconds
        self.heard_at += seconds

    def wait_for_retry(self) -> None:
        """Prepares the next attempt, with the same seed."""
        self.retries += 1
        self.trial = replace(self.trial, attempt=self.trial.attempt + 1)
        self.stop, self.stop_cause = CONTINUE, None
        self.stage = Stage.WAITS_FOR_RETRY

    def final_result(self, result: TrialResult) -> TrialResult:
        """Returns the result as the study records it, with the reason of an early end."""
        if self.stop_cause is StopCause.USER and result.state is TrialState.PRUNED:
            result = replace(result, state=TrialState.INTERRUPTED)
        if result.state in (TrialState.PRUNED, TrialState.INTERRUPTED):
            result = replace(result, stop_reason=self.stop.reason or "cancelled")
        return result
