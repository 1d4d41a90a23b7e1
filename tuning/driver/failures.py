"""What follows a failure: another attempt, the next trial, or the end of the study."""

from dataclasses import replace

from tuning.core.errors import BadInputError, StudyFailedError, TuningError
from tuning.core.trial import Failure, FailureKind, TrialResult, TrialState
from tuning.study.sections import Limits, OnError

MAX_ATTEMPTS = 3
# So many failures in a row are not bad luck.
MAX_IN_A_ROW = 5


class FailurePolicy:
    """Judges the ends of a study's trials; knows no clock and trains nothing.

    Args:
        limits: What a trial may take.
        on_error: What follows an exception in the task's code.
    """

    def __init__(self, limits: Limits | None = None, on_error: OnError = "fail") -> None:
        self._limits = limits or Limits()
        self._on_error = on_error
        self._in_a_row = 0

    def overdue(self, attempt_s: float, silence_s: float) -> str:
        """Why an attempt is to be killed; empty if it is not.

        Args:
            attempt_s: Seconds since it was submitted.
            silence_s: Seconds since it was last heard of.
        """
        longest, quiet = self._limits.trial_seconds, self._limits.epoch_seconds
        if longest is not None and attempt_s > longest:
            return f"not done after {longest:g} s (limits.trial_seconds)"
        if quiet is not None and silence_s > quiet:
            return f"no epoch ended for {quiet:g} s (limits.epoch_seconds)"
        return ""

    def judge(self, result: TrialResult, overdue: str) -> TrialResult:
        """The end of an attempt as the study sees it.

        Args:
            result: As the executor told it.
            overdue: Why the attempt was killed, if it was.
        """
        if overdue and result.state is not TrialState.COMPLETED:
            failure = Failure(kind=FailureKind.LIMIT, message=overdue)
            return replace(result, state=TrialState.FAILED, failure=failure)
        failed = result.failure
        if failed and failed.kind is FailureKind.ERROR and self._on_error == "stop":
            return replace(result, failure=replace(failed, kind=FailureKind.FATAL))
        return result

    def may_retry(self, failure: Failure, retries: int) -> bool:
        """Whether a trial that was tried again ``retries`` times gets one more attempt."""
        worth_it = failure.kind is FailureKind.WORKER_LOST or (
            failure.kind is FailureKind.ERROR and self._on_error == "retry"
        )
        return worth_it and retries + 1 < MAX_ATTEMPTS

    def count(self, failure: Failure | None) -> TuningError | None:
        """Counts the end of a trial; the error that ends the study, if it has to end."""
        if failure is None:
            self._in_a_row = 0
            return None
        if failure.kind is FailureKind.BAD_INPUT:
            return BadInputError(failure.message)
        if failure.kind is FailureKind.FATAL:
            return StudyFailedError(failure.message)
        # An infeasible configuration is an answer, not a fault.
        if failure.kind is not FailureKind.INFEASIBLE:
            self._in_a_row += 1
        if self._in_a_row >= MAX_IN_A_ROW:
            return StudyFailedError(
                f"{MAX_IN_A_ROW} trials in a row failed; the last: {failure.message}"
            )
        return None
