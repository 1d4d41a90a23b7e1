"""Training by a function of the user, of any framework."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuning.core.errors import BadInputError, InfeasibleError
from tuning.core.trial import CONTINUE, Decision, FailureKind, Measurement, Phase, TrialState
from tuning.study.sections import Compare, Objective
from tuning.testing import make_trial
from tuning.training.any_model import PREDICTIONS, train_any

TRUTH = np.array([1.0, 2.0, 3.0])
OBJECTIVE = Objective(metric="val_rmse")
RULE = Compare(metric="rmse")


class Task:
    """A task whose function is given."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def train(self, params: Mapping[str, Any], seed: int, report: Any) -> Any:
        return self._function(params, seed, report)


def answer(error: float = 1.0) -> dict[str, Any]:
    return {"validation": (TRUTH, TRUTH + error), "test": (TRUTH, TRUTH + 2 * error)}


def run(function: Any, folder: Path, stop_at: int = 0, phase: Phase = Phase.CONFIRM) -> Any:
    reported: list[Measurement] = []

    def report(measurement: Measurement) -> Decision:
        reported.append(measurement)
        stop = measurement.step == stop_at
        return Decision(stop=True, reason="pruned") if stop else CONTINUE

    trial = make_trial(params={"units": 2}, phase=phase, epochs=5)
    return train_any(Task(function), trial, OBJECTIVE, RULE, report, folder), reported


def test_the_value_is_that_of_the_validation_predictions(tmp_path: Path) -> None:
    result, reported = run(lambda params, seed, report: answer(0.5), tmp_path)
    assert (result.state, result.value) == (TrialState.COMPLETED, 0.5)
    assert [m.metrics for m in reported] == [{"val_rmse": 0.5}]
    with np.load(tmp_path / PREDICTIONS) as kept:
        assert list(kept["truth"]) == list(TRUTH)
        assert list(kept["output"]) == list(TRUTH + 1)


def test_what_is_reported_is_measured_and_a_pruner_ends_it(tmp_path: Path) -> None:
    ended = []

    def train(params: Any, seed: int, report: Any) -> Any:
        try:
            for step in range(5):
                report(3.0 - step, extra=step)
        except Exception:  # what a careless function may do
            pytest.fail("a stop is no exception")
        ended.append(seed)
        return answer()

    result, reported = run(train, tmp_path)
    assert (result.value, result.best_step, ended) == (1.0, 5, [7])
    assert reported[1].metrics == {"val_rmse": 2.0, "extra": 1.0}
    pruned, _ = run(train, tmp_path, stop_at=2)
    assert (pruned.state, pruned.value, pruned.best_step) == (TrialState.PRUNED, 2.0, 2)
    assert len(ended) == 1


def test_the_predictions_of_a_search_trial_are_not_kept(tmp_path: Path) -> None:
    result, _ = run(lambda params, seed, report: answer(), tmp_path, phase=Phase.SEARCH)
    assert not result.artifacts and not list(tmp_path.iterdir())


def test_numbers_are_drawn_by_the_seed(tmp_path: Path) -> None:
    def train(params: Any, seed: int, report: Any) -> Any:
        return answer(float(np.random.random()))

    assert run(train, tmp_path)[0].value == run(train, tmp_path)[0].value


def test_a_value_that_is_not_finite_is_a_failure_of_the_configuration(tmp_path: Path) -> None:
    result, _ = run(lambda params, seed, report: answer(np.nan), tmp_path)
    assert result.failure.kind is FailureKind.INFEASIBLE


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "must return a mapping .* got a NoneType"),
        ({"validation": 1.0}, "got a dict of validation"),
        ({"validation": TRUTH, "test": TRUTH}, "'validation' must be a pair"),
        ({"validation": 1.0, "test": (TRUTH, TRUTH[:1])}, "one prediction per row"),
    ],
)
def test_another_answer_is_refused(returned: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=message):
        run(lambda params, seed, report: returned, tmp_path)


def test_a_report_that_is_not_finite_is_a_failure_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError, match="diverged: report got inf"):
        run(lambda params, seed, report: report(np.inf), tmp_path)
