"""When a search ends before its budget: no gain for long, or no time left."""

import pytest

from tests.factories import make_result, make_trial
from tuning.core.trial import Phase, TrialRecord, TrialState
from tuning.driver.search_limit import SearchLimit
from tuning.study.sections import Objective

MAXIMIZE = Objective()
MINIMIZE = Objective(metric="val_loss", direction="minimize")


def ended(
    value: float, state: TrialState = TrialState.COMPLETED, phase: Phase = Phase.SEARCH
) -> TrialRecord:
    return TrialRecord(
        trial=make_trial(f"{phase.value}-{value}", phase=phase), result=make_result([value], state)
    )


@pytest.mark.parametrize(
    ("objective", "values"), [(MAXIMIZE, (0.5, 0.4, 0.5)), (MINIMIZE, (0.5, 0.6, 0.5))]
)
def test_trials_without_a_gain_are_counted(objective: Objective, values: list[float]) -> None:
    limit = SearchLimit(objective, plateau_trials=2)
    for value in values[:2]:
        limit.learn(ended(value))
    assert not limit.over()
    limit.learn(ended(values[2]))
    assert limit.over() == "no gain in the last 2 trials"


def test_a_gain_begins_the_count_anew() -> None:
    limit = SearchLimit(MAXIMIZE, plateau_trials=2)
    for value in (0.5, 0.4, 0.6, 0.5):
        limit.learn(ended(value))
    assert not limit.over()


def test_a_gain_must_exceed_the_threshold_and_not_by_a_rounding_error() -> None:
    limit = SearchLimit(MAXIMIZE, plateau_trials=1, plateau_gain=0.1)
    limit.learn(ended(0.3))
    limit.learn(ended(0.4))
    assert limit.over() == "no gain above 0.1 in the last 1 trials"
    limit = SearchLimit(MAXIMIZE, plateau_trials=1)
    limit.learn(ended(0.3))
    limit.learn(ended(0.3))
    assert limit.over()


def test_pruned_trials_are_without_a_gain_and_failed_ones_say_nothing() -> None:
    limit = SearchLimit(MAXIMIZE, plateau_trials=2)
    limit.learn(ended(0.5))
    for state in (TrialState.FAILED, TrialState.INTERRUPTED):
        limit.learn(ended(0.9, state))
        limit.learn(ended(0.9, state))
    limit.learn(ended(0.1, phase=Phase.BASELINE))
    limit.learn(ended(0.1, TrialState.PRUNED))
    assert not limit.over()
    limit.learn(ended(0.9, TrialState.PRUNED))
    assert limit.over() == "no gain in the last 2 trials"


def test_time_is_left_for_what_follows_the_search() -> None:
    now = 0.0
    limit = SearchLimit(MAXIMIZE, deadline=100.0, reserve=lambda ended: 30.0, clock=lambda: now)
    assert not limit.over()
    now = 69.0
    assert not limit.over()
    now = 70.0
    assert limit.over() == "the time for the search is over"


def test_a_search_that_is_over_does_not_begin_again() -> None:
    now, needed = 60.0, 50.0
    limit = SearchLimit(MAXIMIZE, deadline=100.0, reserve=lambda ended: needed, clock=lambda: now)
    assert limit.over()
    needed = 1.0
    limit.learn(ended(0.5))
    assert limit.over()


def test_the_reserve_is_estimated_from_all_that_has_ended() -> None:
    seen: list[int] = []

    def reserve(ended: object) -> float:
        seen.append(len(list(ended)))  # type: ignore[call-overload]
        return 0.0

    limit = SearchLimit(MAXIMIZE, deadline=100.0, reserve=reserve, clock=lambda: 0.0)
    limit.learn(ended(0.5, phase=Phase.BASELINE))
    limit.learn(ended(0.6))
    limit.learn(ended(0.7, TrialState.INTERRUPTED))
    limit.over()
    limit.over()
    assert seen == [2]
