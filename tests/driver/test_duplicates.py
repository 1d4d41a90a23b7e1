"""Which trials are duplicates of each other, and which are not."""

from typing import Any

import pytest

from tests.factories import make_result, make_trial
from tuning.core.trial import Phase, TrialRecord, TrialState
from tuning.driver.duplicates import Duplicates

TRIAL = make_trial("first", epochs=3)


def knows(state: TrialState = TrialState.COMPLETED) -> Duplicates:
    duplicates = Duplicates()
    assert duplicates.begin(TRIAL)
    duplicates.end(TRIAL, make_result(state=state))
    return duplicates


def test_the_same_configuration_and_epochs_are_a_duplicate() -> None:
    result = knows().result_for(make_trial("second", number=1, epochs=3, seed=8))
    assert result is not None
    assert result.reused_from == "first"


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 9},
        {"params": {"units": 4, "rate": 0.0, "batch_size": 16}},
        {"phase": Phase.CONFIRM},
        {"keep_checkpoint": True},
        {"resume_from": "other"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_was_trained_otherwise_is_none(changes: dict[str, Any]) -> None:
    other = make_trial("second", **{"epochs": 3, **changes})
    assert knows().result_for(other) is None
    assert knows().begin(other)


@pytest.mark.parametrize("state", [TrialState.PRUNED, TrialState.FAILED, TrialState.INTERRUPTED])
def test_only_a_completed_trial_has_a_result_for_others(state: TrialState) -> None:
    assert knows(state).result_for(make_trial("second", epochs=3)) is None
    restored = Duplicates()
    restored.restore([TrialRecord(trial=TRIAL, result=make_result(state=state))])
    assert restored.result_for(make_trial("second", epochs=3)) is None


def test_a_duplicate_waits_while_the_other_trains() -> None:
    duplicates = Duplicates()
    assert duplicates.begin(TRIAL)
    assert not duplicates.begin(make_trial("second", epochs=3))
    assert duplicates.begin(TRIAL), "another attempt of the same trial"
    assert duplicates.end(TRIAL, make_result()) == ["second"]
    assert duplicates.end(TRIAL, make_result()) == []
