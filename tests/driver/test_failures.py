"""What follows a failure, and the judgement of what may pass."""

import errno

import pytest

from tests.factories import make_result
from tests.toy_task import XlaRuntimeError
from tuning.core.errors import BadInputError, StudyFailedError
from tuning.core.trial import Failure, FailureKind, TrialState
from tuning.driver.failures import MAX_ATTEMPTS, MAX_IN_A_ROW, FailurePolicy
from tuning.study.sections import Limits
from tuning.tracking.retry import summary_line
from tuning.training.worker import _kind


def failure(kind: FailureKind) -> Failure:
    return Failure(kind=kind, message="why")


def test_only_losses_are_tried_again_and_not_for_ever() -> None:
    policy = FailurePolicy()
    again = {kind for kind in FailureKind if policy.may_retry(failure(kind), 0)}
    assert again == {FailureKind.WORKER_LOST, FailureKind.OUT_OF_MEMORY}
    assert not policy.may_retry(failure(FailureKind.WORKER_LOST), MAX_ATTEMPTS - 1)
    assert not policy.may_retry(failure(FailureKind.OUT_OF_MEMORY), 1)


@pytest.mark.parametrize(
    "kind", [FailureKind.INFEASIBLE, FailureKind.LIMIT, FailureKind.OUT_OF_MEMORY]
)
def test_configurations_that_meet_a_limit_never_stop_a_study(kind: FailureKind) -> None:
    policy = FailurePolicy()
    for _ in range(10 * MAX_IN_A_ROW):
        assert not policy.count(failure(kind))
    for _ in range(MAX_IN_A_ROW - 1):
        assert not policy.count(failure(FailureKind.WORKER_LOST))
    error = policy.count(failure(FailureKind.ERROR))
    assert isinstance(error, StudyFailedError)
    assert str(error) == "5 trials in a row failed; the last failure: why"


def test_what_no_trial_can_mend_ends_the_study_at_once() -> None:
    fatal = FailurePolicy().count(failure(FailureKind.FATAL))
    assert isinstance(fatal, StudyFailedError)
    refused = FailurePolicy().count(failure(FailureKind.BAD_INPUT))
    assert isinstance(refused, BadInputError)
    assert str(fatal) == str(refused) == "why"


def test_a_success_ends_a_row_of_failures() -> None:
    policy = FailurePolicy()
    for _ in range(3):
        for _ in range(MAX_IN_A_ROW - 1):
            assert not policy.count(failure(FailureKind.ERROR))
        assert not policy.count(None)


def test_what_was_done_in_the_last_moment_counts() -> None:
    policy = FailurePolicy(Limits(trial_seconds=10))
    assert not policy.overdue(10, 10)
    why = policy.overdue(10.5, 0)
    assert policy.judge(make_result(), why).state is TrialState.COMPLETED
    killed = policy.judge(make_result(state=TrialState.INTERRUPTED), why)
    assert killed.failure is not None
    assert killed.failure.message == "not finished after 10 s (limits.trial_seconds)"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), FailureKind.OUT_OF_MEMORY),
        (XlaRuntimeError("RESOURCE_EXHAUSTED: Out of memory"), FailureKind.OUT_OF_MEMORY),
        (XlaRuntimeError("INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS"), FailureKind.WORKER_LOST),
        (RuntimeError("my queue: RESOURCE_EXHAUSTED"), FailureKind.ERROR),
        (OSError(errno.ENOSPC, "No space left on device"), FailureKind.FATAL),
        (FileNotFoundError(errno.ENOENT, "no such file"), FailureKind.ERROR),
        (KeyError("units"), FailureKind.ERROR),
    ],
)
def test_what_an_exception_says_of_the_next_trial(error: Exception, kind: FailureKind) -> None:
    assert _kind(error) is kind


def test_messages_of_outages_are_short_and_say_it() -> None:
    locked = (
        "(raised as a result of autoflush)\n(sqlite3.OperationalError) database is locked\n[SQL"
    )
    assert summary_line(Exception(locked)) == "(sqlite3.OperationalError) database is locked"
    request = (
        "API request to http://me:pw@host:5/api/2.0/x failed with exception HTTPConnectionPool("
        "host='host', port=5): Max retries exceeded with url: /api/2.0/x (Caused by "
        "ResponseError('too many 500 error responses'))"
    )
    assert summary_line(Exception(request)) == (
        "http://***@host:5/api/2.0/x: too many 500 error responses"
    )
    assert summary_line(Exception()) == "Exception"
