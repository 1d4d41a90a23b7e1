"""The reaction to a failure: another attempt, the next trial, or the end of the study."""

from dataclasses import replace

from tuning.core.errors import BadInputError, StudyFailedError, TuningError
from tuning.core.trial import Failure, FailureKind, TrialResult, TrialState
from tuning.study.sections import Limits, OnError

MAX_ATTEMPTS = 3
# This many failures in a row have a common cause.
MAX_IN_A_ROW = 5


class FailurePolicy:
    """Decides what follows from the results of trials; it reads no clock and trains nothing.

    Args:
        limits: Limits per trial.
        on_error: Reaction to an exception in the task's code.
    """

    def __init__(self, limits: Limits | None = None, on_error: OnError = "fail") -> None:
        self._limits = limits or Limits()
        self._on_error = on_error
        self._in_a_row = 0

    def overdue(self, attempt_s: float, silence_s: float) -> str:
        """Returns why an attempt has to be killed; empty if it may continue.

        Args:
            attempt_s: Seconds since the attempt was submitted.
            silence_s: Seconds since its last epoch ended, or since it was submitted.
        """
        trial_limit, epoch_limit = self._limits.trial_seconds, self._limits.epoch_seconds
        if trial_limit is not None and attempt_s > trial_limit:
            return f"not finished after {trial_limit:g} s (limits.trial_seconds)"
        if epoch_limit is not None and silence_s > epoch_limit:
            return f"no epoch ended for {epoch_limit:g} s (limits.epoch_seconds)"
        return ""

    def judge(self, result: TrialResult, overdue: str) -> TrialResult:
        """Returns the result of an attempt as the study counts it.

        Args:
            result: Result from the executor.
            overdue: Reason why the attempt was killed; empty if it was not.
        """
        if overdue and result.state is not TrialState.COMPLETED:
            exceeded = Failure(kind=FailureKind.LIMIT, message=overdue)
            return replace(result, state=TrialState.FAILED, failure=exceeded)
        failure = result.failure
        if failure and failure.kind is FailureKind.ERROR and self._on_error == "stop":
            return replace(result, failure=replace(failure, kind=FailureKind.FATAL))
        return result

    def may_retry(self, failure: Failure, retries: int) -> bool:
        """Returns whether a trial gets one more attempt after this number of retries."""
        if failure.kind is FailureKind.OUT_OF_MEMORY:
            return retries == 0
        is_retryable = failure.kind is FailureKind.WORKER_LOST or (
            failure.kind is FailureKind.ERROR and self._on_error == "retry"
        )
        return is_retryable and retries + 1 < MAX_ATTEMPTS

    def count(self, failure: Failure | None) -> TuningError | None:
        """Counts the end of a trial; returns the error that ends the study, or None."""
        if failure is None:
            self._in_a_row = 0
            return None
        if failure.kind is FailureKind.BAD_INPUT:
            return BadInputError(failure.message)
        if failure.kind is FailureKind.FATAL:
            return StudyFailedError(failure.message)
        if not failure.kind.is_answer:
            self._in_a_row += 1
        if self._in_a_row >= MAX_IN_A_ROW:
            return StudyFailedError(
                f"{MAX_IN_A_ROW} trials in a row failed; the last failure: {failure.message}"
            )
        return None
