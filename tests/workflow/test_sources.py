"""When a search ends, with all that earlier runs of its study have spent and found."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.factories import make_result, make_study, make_trial
from tests.report.test_report import make_record
from tuning.core.trial import Phase, TrialRecord
from tuning.driver.search_limit import SearchLimit
from tuning.workflow.phases import _end_of_search
from tuning.workflow.sources import search_limit
from tuning.workflow.study_run import StudyRun

OUT_OF_TIME = "the time for the search is over"


def trained(name: str, begin_s: int, seconds: float, phase: Phase = Phase.SEARCH) -> TrialRecord:
    """A trial that took all of its time to train, and was never better than another."""
    return TrialRecord(
        trial=make_trial(name, phase=phase),
        result=replace(make_result(), duration_s=seconds),
        started_ms=1000 * begin_s,
        ended_ms=int(1000 * (begin_s + seconds)),
    )


def limit_of(
    trials: Sequence[TrialRecord], begun_with: dict[str, Any] | None = None, **budget: Any
) -> SearchLimit:
    """The limit of a study with these earlier trials, and with the budget that it began with."""
    budget = {"trials": 3, "epochs": 2, **budget}
    study = make_study(budget=budget)
    begun = make_study(budget=begun_with or budget)
    record = make_record({}, study=begun, trials=tuple(trials)) if trials else None
    study_run = SimpleNamespace(
        study=study,
        workers=1,
        prepared=SimpleNamespace(record=record),
        earlier=lambda *phases: [trial for trial in trials if trial.trial.phase in phases],
    )
    return search_limit(cast(StudyRun, study_run))


def test_what_earlier_runs_trained_is_spent_and_pauses_are_not() -> None:
    # Fifty seconds of training, with a pause of an hour between them.
    trials = [trained("random-000", 0, 25.0), trained("random-001", 3_600, 25.0)]
    assert not limit_of([], timeout=45.0).over()
    assert limit_of(trials, timeout=45.0).over() == OUT_OF_TIME
    assert not limit_of(trials, timeout=3_000.0).over()
    assert not limit_of(trials).over()


def test_the_time_that_the_comparison_needs_is_kept_back() -> None:
    # Two seeds of the baseline, of a reference and of a candidate, as long as the longest each.
    trials = [trained("random-000", 0, 10.0)]
    assert limit_of(trials, timeout=10.0 + 55.0).over() == OUT_OF_TIME
    assert not limit_of(trials, timeout=10.0 + 65.0).over()


def test_a_plateau_that_an_earlier_run_began_goes_on() -> None:
    trials = [trained(f"random-{number:03d}", number, 1.0) for number in range(4)]
    assert limit_of(trials, plateau_trials=3).over() == "no gain in the last 3 trials"
    assert not limit_of(trials, plateau_trials=4).over()


@pytest.mark.parametrize("begun_with", [None, {"trials": 2, "epochs": 2}])
def test_once_candidates_are_confirmed_only_a_new_budget_searches_on(
    begun_with: dict[str, Any] | None,
) -> None:
    trials = [trained("confirm-random-001-seed1", 0, 1.0, Phase.CONFIRM)]
    over = limit_of(trials, begun_with).over()
    assert over == ("" if begun_with else "the confirmation has already begun in an earlier run")


@pytest.mark.parametrize(
    ("trials", "reason", "said"),
    [
        (3, "", "all trials are done"),
        (3, "no gain in the last 3 trials", "all trials are done"),
        (2, "no gain in the last 3 trials", "no gain in the last 3 trials"),
        (2, "", "the searchers have no more configurations to propose"),
    ],
)
def test_why_a_search_ended_is_said(trials: int, reason: str, said: str) -> None:
    limit = SearchLimit(make_study().objective)
    limit.end(reason)
    study_run = SimpleNamespace(
        study=make_study(),
        searchers=["random"],
        driver=SimpleNamespace(trained=lambda *phases: [None] * trials),
        prepared=SimpleNamespace(plan=SimpleNamespace(options=SimpleNamespace(candidates={}))),
    )
    assert _end_of_search(cast(StudyRun, study_run), limit) == said
