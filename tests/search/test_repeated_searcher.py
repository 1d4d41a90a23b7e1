"""Configurations that are trained several times in the search."""

from typing import Any

import pytest

from tests.factories import make_study
from tuning.core.errors import BadInputError
from tuning.core.interfaces import NoProposal
from tuning.core.trial import REPEAT, Proposal, TrialRecord, TrialResult, TrialState
from tuning.driver.duplicates import Duplicates
from tuning.search.factory import check_options
from tuning.search.fixed_searcher import FixedSearcher
from tuning.search.names import parse_searchers
from tuning.search.repeated_searcher import RepeatedSearcher
from tuning.testing import make_result, make_trial


class Inner(FixedSearcher):
    """A searcher that keeps what it learns."""

    def __init__(self, count: int = 3) -> None:
        super().__init__("inner", [Proposal(params={"units": n}) for n in range(count)])
        self.told: list[tuple[int, float | None]] = []
        self.restored: list[tuple[int, TrialState, float | None]] = []

    def tell(self, number: int, result: TrialResult) -> None:
        self.told.append((number, result.value))

    def restore(self, records: Any) -> None:
        self.restored = [(r.trial.number, r.result.state, r.result.value) for r in records]


def test_each_configuration_is_proposed_as_often_as_wanted_and_its_mean_is_told() -> None:
    inner = Inner(2)
    searcher = RepeatedSearcher(inner, 2)
    asked = [searcher.ask(number) for number in range(5)]
    assert [p.params["units"] for p in asked[:4] if isinstance(p, Proposal)] == [0, 0, 1, 1]
    assert asked[4] is NoProposal.EXHAUSTED
    for number, value in ((1, 0.4), (2, 0.8), (0, 0.2)):
        searcher.tell(number, make_result([value]))
    assert inner.told[0][0] == 0 and inner.told[0][1] == pytest.approx(0.3)
    searcher.tell(3, make_result((), TrialState.FAILED))
    assert inner.told[1] == (1, None)


def test_a_repeat_does_not_reuse_the_result_of_another() -> None:
    duplicates = Duplicates()
    searcher = RepeatedSearcher(Inner(), 2)
    trials = []
    for number in range(2):
        proposal = searcher.ask(number)
        assert isinstance(proposal, Proposal)
        name = f"x-{number}"
        trials.append(make_trial(name, number=number, params=proposal.params, tags=proposal.tags))
    assert [trial.tags[REPEAT] for trial in trials] == ["1", "2"]
    assert duplicates.begin(trials[0]) and duplicates.begin(trials[1])
    duplicates.end(trials[0], make_result([0.5]))
    assert duplicates.result_for(trials[1]) is None


def test_a_study_that_goes_on_trains_what_is_missing() -> None:
    records = [
        TrialRecord(
            trial=make_trial(f"x-{number}", number=number, params={"units": number // 2}),
            result=make_result([0.1 * number]),
        )
        for number in range(3)
    ]
    inner = Inner()
    searcher = RepeatedSearcher(inner, 2)
    searcher.restore(records)
    assert inner.restored == [
        (0, TrialState.COMPLETED, pytest.approx(0.05)),
        (1, TrialState.INTERRUPTED, None),
    ]
    proposal = searcher.ask(3)
    assert isinstance(proposal, Proposal) and proposal.params == {"units": 1}
    searcher.tell(3, make_result([0.4]))
    assert inner.told[0][0] == 1 and inner.told[0][1] == pytest.approx(0.3)


def test_the_trials_of_another_study_are_no_repeats() -> None:
    records = [
        TrialRecord(
            trial=make_trial(f"x{number}", number=number, params={"units": number}),
            result=make_result([0.1 * -number]),
        )
        for number in (-3, -2, -1)
    ]
    inner = Inner()
    RepeatedSearcher(inner, 2).restore(records)
    assert [number for number, _, _ in inner.restored] == [-3, -2, -1]
    assert [value for _, _, value in inner.restored] == pytest.approx([0.3, 0.2, 0.1])


def test_hyperband_of_keras_tuner_is_refused() -> None:
    study = make_study(budget={"trials": 2, "repeats": 2})
    specs = parse_searchers(["keras_tuner:hyperband"])
    with pytest.raises(BadInputError, match=r"budget.repeats: KerasTuner's Hyperband"):
        check_options(specs, study)
