"""When a search ends, and what is kept back for the comparison."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.factories import make_result, make_study, make_trial
from tuning.core.errors import BadInputError
from tuning.core.trial import Failure, FailureKind, Phase, TrialRecord, TrialResult, TrialState
from tuning.driver.search_limit import SearchLimit
from tuning.evaluation.spending import busy_seconds, longest_first, seconds_to_confirm, spending
from tuning.study.sections import Objective

STUDY = make_study(confirm={"seeds": 2, "top_k": 2})
BETTER = {"units": 8, "rate": 0.0}


def record(
    name: str,
    phase: Phase = Phase.SEARCH,
    params: dict[str, float] | None = None,
    result: TrialResult | None = None,
    **changes: Any,
) -> TrialRecord:
    trial = make_trial(name, phase=phase, params=params or STUDY.baseline)
    return TrialRecord(trial=trial, result=result or took(10), **changes)


def took(seconds: float, **changes: Any) -> TrialResult:
    return TrialResult(
        state=TrialState.COMPLETED,
        value=0.8,
        best_step=1,
        duration_s=seconds,
        measurements=make_result((0.7, 0.8)).measurements,
        **changes,
    )


def limit(clock: list[float], **options: Any) -> SearchLimit:
    return SearchLimit(Objective(), clock=lambda: clock[0], **options)


def learn(ends: SearchLimit, result: TrialResult) -> None:
    ends.learn(TrialRecord(trial=make_trial(), result=result))


def test_a_search_is_over_at_its_deadline_and_stays_so() -> None:
    now, reserve = [0.0], [10.0]
    ends = limit(now, deadline=20.0, reserve=lambda ended: reserve[0])
    assert not ends.over()
    now[0] = 10.0
    assert ends.over() == ends.out_of_time() == "the time for the search is over"
    reserve[0] = 0.0
    learn(ends, make_result((0.5,)))
    assert ends.out_of_time(), "a better estimate does not begin it again"


def test_what_is_kept_back_is_estimated_from_the_trials_that_have_ended() -> None:
    seen: list[list[str]] = []

    def reserve(ended: Sequence[TrialRecord]) -> float:
        seen.append([record.trial.name for record in ended])
        return 5.0 * len(ended)

    now = [0.0]
    ends = limit(now, deadline=20.0, reserve=reserve)
    for name, phase in (("a", Phase.BASELINE), ("b", Phase.SEARCH), ("b", Phase.SEARCH)):
        ends.learn(record(name, phase))
    learn(ends, make_result((), TrialState.INTERRUPTED))
    now[0] = 9.0
    assert not ends.out_of_time()
    assert not ends.out_of_time(), "and not estimated again before another trial has ended"
    assert seen == [["a", "b"]]
    now[0] = 10.0
    assert ends.out_of_time()


def test_a_plateau_counts_trials_without_a_gain() -> None:
    ends = limit([0.0], plateau_trials=3, plateau_gain=0.01)
    for value, over in (
        (0.80, False),
        (0.805, False),
        (0.82, False),
        (0.82, False),
        (0.83, False),
    ):
        learn(ends, make_result((value,)))
        assert bool(ends.over()) is over
    learn(ends, make_result((0.7,), TrialState.PRUNED))
    assert ends.over() == "no gain above 0.01 in the last 3 trials"
    assert not ends.out_of_time(), "what runs may end"


def test_a_search_can_be_ended_from_outside() -> None:
    ends = limit([0.0])
    ends.end("the confirmation had begun")
    assert ends.over() == "the confirmation had begun"
    assert not ends.out_of_time()


def test_failures_say_nothing_of_a_plateau() -> None:
    ends = limit([0.0], plateau_trials=1)
    learn(ends, make_result((0.8,)))
    failure = Failure(kind=FailureKind.ERROR, message="no")
    learn(ends, TrialResult(state=TrialState.FAILED, failure=failure))
    learn(ends, make_result((), TrialState.INTERRUPTED))
    assert not ends.over()


def test_less_is_a_gain_where_it_is_minimised() -> None:
    ends = SearchLimit(Objective(metric="val_loss", direction="minimize"), plateau_trials=2)
    for value in (0.5, 0.4, 0.45, 0.39, 0.6):
        learn(ends, make_result((value,)))
    assert not ends.over()
    learn(ends, make_result((0.5,)))
    assert ends.over()


def test_pauses_between_the_runs_of_a_study_cost_nothing() -> None:
    spans = [(0, 10_000), (5_000, 20_000), (100_000, 130_000), (110_000, 120_000), (140_000, 0)]
    records = [record(f"t{i}", started_ms=a, ended_ms=b) for i, (a, b) in enumerate(spans)]
    assert busy_seconds(records) == 50.0
    assert busy_seconds([]) == 0.0


def test_the_confirmations_share_is_what_its_configurations_took() -> None:
    fast, slow = record("optuna-000", result=took(10)), record("x", params=BETTER, result=took(30))
    assert seconds_to_confirm(STUDY, [], [], 1) == 0.0, "nothing is known yet"
    # Two seeds each of the baseline (10 s), a candidate (30 s), and a reference and a second
    # candidate that were not trained yet (as long as the longest).
    assert STUDY.references
    assert seconds_to_confirm(STUDY, [fast, slow], [slow], 1) == 2 * (10 + 30 + 30 + 30)
    done = [record(f"baseline-seed{i}", Phase.BASELINE) for i in (1, 2)]
    assert seconds_to_confirm(STUDY, [fast, slow, *done], [slow], 1) == 2 * (30 + 30 + 30)
    assert seconds_to_confirm(STUDY, [fast, slow, *done], [slow], 2) == 90 + 15


def test_the_candidates_that_train_longest_are_confirmed_first() -> None:
    fast, slow = record("optuna-000", result=took(10)), record("x", params=BETTER, result=took(30))
    # Its result was taken over from the slow one, which says how long it takes.
    duplicate = record("y", params=BETTER, result=took(0, reused_from="x"))
    assert longest_first(STUDY, [fast, slow], [fast, slow]) == [slow, fast]
    assert longest_first(STUDY, [fast, slow, duplicate], [fast, duplicate]) == [duplicate, fast]
    assert longest_first(STUDY, [], [fast, slow]) == [fast, slow], "nothing is known yet"


def test_what_was_trained_and_what_was_saved_is_counted() -> None:
    records = [
        record("baseline-seed1", Phase.BASELINE),
        record("a"),
        record("b", result=took(0, reused_from="a")),
        record("c", result=took(3, inherited=1)),
        record("d", result=make_result((0.7,), TrialState.PRUNED)),
    ]
    epochs = records[0].trial.epochs
    assert spending(records) == {
        "trials_completed": 2,
        "trials_pruned": 1,
        "trials_failed": 0,
        "trials_reused": 1,
        "epochs_trained": 2 + 2 + 1 + 1,
        "epochs_saved_by_pruning": epochs - 1,
        "epochs_saved_by_continuing": 1,
        "epochs_saved_by_reuse": 2,
    }


@pytest.mark.parametrize("timeout", [-5.0, float("nan"), float("inf")])
def test_a_wrong_timeout_is_named(timeout: float) -> None:
    with pytest.raises(BadInputError, match=r"budget\.timeout"):
        STUDY.change([f"budget.timeout={timeout}"])
