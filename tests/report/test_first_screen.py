"""What the report says first: the result in words, its cost, and what to do now."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.factories import make_study
from tests.report.test_report import make_record
from tuning.core.trial import TrialState
from tuning.evaluation.comparison import compare
from tuning.report.first_screen import facts, in_words, next_step

BETTER = {"baseline": 0.80, "optuna-002": 0.90}
EQUAL = {"baseline": 0.85, "optuna-002": 0.85}


def said(accuracy: dict[str, float], **changes: Any) -> tuple[str, dict[str, str], str]:
    record = make_record(accuracy, **changes)
    comparison = compare(record)
    return in_words(comparison), dict(facts(record, comparison)), next_step(record, comparison)


def test_a_better_model_is_to_be_used() -> None:
    words, known, step = said(BETTER)
    assert words == "The best model that was found is better than the baseline."
    assert known["gain in test accuracy"].startswith("+") and "points" in known["95% interval"]
    assert step.startswith("Use the registered model toy:")


def test_a_better_model_that_beats_no_constant_is_not_to_be_used_blindly() -> None:
    record = make_record(BETTER)
    predictions = record.predictions
    assert predictions is not None
    # Nearly all rows are of one class, and the best is right on nine tenths of them.
    rows = len(predictions.truth)
    truth = np.where(np.arange(rows) < 0.98 * rows, 0, 1)
    comparison = compare(record)
    unbalanced = replace(record, predictions=replace(predictions, truth=truth))
    step = next_step(unbalanced, comparison)
    assert "no better than always the most frequent class (98.00%)" in step
    assert comparison.best is not None

    def judged(metric: str, value: float) -> str:
        study = make_study(compare={"metric": metric})
        best = replace(comparison.best, test=[value, value])  # type: ignore[type-var]
        return next_step(replace(record, study=study), replace(comparison, best=best))

    assert "the mean of the test targets (R² is not above 0)" in judged("r2", -0.2)
    assert "the naive forecast (MASE is not below 1)" in judged("mase(period=24)", 1.1)
    assert judged("r2", 0.2).startswith("Use the registered model")
    assert judged("mase", 0.9).startswith("Use the registered model")


def test_a_worse_model_is_not() -> None:
    words, _, step = said({"baseline": 0.90, "optuna-002": 0.80})
    assert "is worse than the baseline" in words
    assert step.startswith("Keep the baseline.")


def test_an_open_question_says_what_would_answer_it() -> None:
    words, _, step = said(EQUAL)
    assert "is not known" in words
    record = make_record(EQUAL)
    comparison = compare(record)
    gain = comparison.gain
    assert gain is not None
    seeds = replace(comparison, gain=replace(gain, seed_error=0.9, example_error=0.1))
    rows = replace(comparison, gain=replace(gain, seed_error=0.1, example_error=0.9))
    assert "comes from the seeds" in next_step(record, seeds)
    assert "more test rows will" in next_step(record, rows)
    known = replace(gain, seed_error=0.9, example_error=0.1, overlap=0.85)
    cuts = next_step(record, replace(comparison, gain=known))
    assert "share 85% of their training rows" in cuts and "overlap less" in cuts
    assert step in (next_step(record, seeds), next_step(record, rows))
    unknown = replace(comparison, gain=replace(gain, low=-float("inf")))
    assert "more fresh seeds" in next_step(record, unknown)


def test_a_gain_that_is_too_small_is_said_to_be() -> None:
    study = make_study(confirm={"seeds": 3, "top_k": 2}, compare={"min_gain": 0.9})
    assert "smaller than compare.min_gain" in said(BETTER, study=study)[2]


@pytest.mark.parametrize(("seconds", "text"), [(30.0, "s of a"), (7_200.0, "hours")])
def test_the_cost_counts_what_was_trained(seconds: float, text: str) -> None:
    record = make_record(BETTER)
    trials = [replace(t, result=replace(t.result, duration_s=seconds)) for t in record.trials]
    reused = replace(trials[5], result=replace(trials[5].result, reused_from="optuna-001"))
    lost = replace(trials[6], result=replace(trials[6].result, state=TrialState.INTERRUPTED))
    record = replace(record, trials=(*trials[:5], reused, lost, *trials[7:]))
    cost = dict(facts(record, compare(record)))["cost"]
    assert cost.startswith(f"{len(trials) - 2} trainings, ") and text in cost


def test_without_a_winner_nothing_is_advised() -> None:
    record = make_record({}, predictions=None)
    record = replace(
        record, trials=tuple(t for t in record.trials if "confirm" not in t.trial.name)
    )
    comparison = compare(record)
    assert in_words(comparison).startswith("No other model than the baseline")
    assert next_step(record, comparison) == "" and [*dict(facts(record, comparison))] == ["cost"]
