"""The comparison of a record: against the baseline, over common seeds, and honest about luck."""

from dataclasses import replace

import numpy as np
import pytest

from tests.report.test_report import make_record
from tuning.core.trial import Phase
from tuning.evaluation import intervals, statistics
from tuning.evaluation.comparison import compare
from tuning.metrics.classification import is_right
from tuning.study.record import StudyRecord


def test_p_values_against_the_baseline_are_adjusted_for_their_number() -> None:
    comparison = compare(make_record({"optuna-002": 0.81, "hand-tuned": 0.805, "baseline": 0.80}))
    found = comparison.against_baseline
    assert {entry.label for entry in found} == {"hand-tuned", "optuna-002", "optuna-006"}
    raw = np.array([entry.gain.p_value for entry in found])
    adjusted = np.array([entry.p_value for entry in found])
    # Holm's smallest p-value is multiplied by the number of comparisons.
    smallest = int(np.argmin(raw))
    assert adjusted[smallest] == pytest.approx(min(1.0, 3 * raw[smallest]))
    assert (adjusted >= raw).all()


def with_seeds(record: StudyRecord, phase: Phase, seeds: dict[int, int]) -> StudyRecord:
    """The record with other seeds in one phase, by number of the trial."""
    trials = tuple(
        replace(trial, trial=replace(trial.trial, seed=seeds[trial.trial.number]))
        if trial.trial.phase is phase
        else trial
        for trial in record.trials
    )
    return replace(record, trials=trials)


def test_two_checkpoints_are_compared_of_the_first_seed_that_both_have() -> None:
    record = make_record({"baseline": 0.80, "optuna-002": 0.90})
    assert record.predictions is not None
    right = [
        is_right(record.predictions.truth, record.predictions.outputs[name])
        for name in ("baseline-seed1", "confirm-optuna-002-seed1", "baseline-seed2")
    ]
    assert compare(record).mcnemar == statistics.mcnemar(right[0], right[1])
    # The candidate's first seed is now the baseline's second.
    moved = with_seeds(record, Phase.CONFIRM, {0: 2, 1: 7, 2: 8})
    assert compare(moved).mcnemar == statistics.mcnemar(right[2], right[1])


def test_without_a_common_seed_there_is_no_conclusion() -> None:
    record = make_record({"baseline": 0.80, "optuna-002": 0.95})
    comparison = compare(with_seeds(record, Phase.CONFIRM, {0: 7, 1: 8, 2: 9}))
    assert comparison.verdict is intervals.Verdict.INCONCLUSIVE
    assert comparison.gain is None
    assert "no seed in common" in comparison.why


def test_the_probability_of_improvement_pairs_seeds() -> None:
    record = make_record({"baseline": 0.80, "optuna-002": 0.90})
    comparison = compare(record)
    assert comparison.improvement is not None
    assert comparison.improvement[0] == 1.0
    assert comparison.baseline.seeds == [1, 2, 3]
    assert comparison.best is not None
    assert comparison.best.seeds == [1, 2, 3]
    assert comparison.best.trials == [f"confirm-optuna-002-seed{n}" for n in (1, 2, 3)]


def test_a_record_without_a_baseline_cannot_be_compared() -> None:
    record = make_record({})
    trials = tuple(t for t in record.trials if t.trial.phase is not Phase.BASELINE)
    with pytest.raises(ValueError, match="no completed baseline trial"):
        compare(replace(record, trials=trials))
