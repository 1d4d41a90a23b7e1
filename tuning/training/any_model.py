"""Training of one trial by a function of the user, of any framework and without Keras."""

import math
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tuning.core.errors import BadInputError, InfeasibleError
from tuning.core.record import Predictions
from tuning.core.task import HasGroups, HasTimes, Trains
from tuning.core.trial import (
    Decision,
    Failure,
    FailureKind,
    Measurement,
    Params,
    Phase,
    Trial,
    TrialResult,
    TrialState,
)
from tuning.data.dependence import checked_rows, rows_that_depend
from tuning.data.loading import asked
from tuning.metrics.given import GivenOutput, predicted_labels, read_output
from tuning.metrics.scoring import score
from tuning.study.sections import Compare, Objective

# The file of a trial with the truth and the predictions of the test rows.
PREDICTIONS = "predictions.npz"


class StopTraining(BaseException):
    """Ends a function that trains; not an Exception, so that the function does not catch it."""


class Reporter:
    """The function ``report`` that a training gets; it counts the steps.

    Args:
        objective: Objective of the search.
        report: Function that is called after every step; its decision takes effect at once.
        steps: Number of the last step.
    """

    def __init__(
        self, objective: Objective, report: Callable[[Measurement], Decision], steps: int
    ) -> None:
        self._objective = objective
        self._report = report
        self._steps = steps
        self._began = time.monotonic()
        self.measurements: list[Measurement] = []

    def __call__(self, value: float, **metrics: float) -> None:
        """Reports a step, such as an epoch or a boosting round; may end the training.

        Args:
            value: Objective after this step, on the validation rows.
            **metrics: Further metrics, by name.
        """
        name = self._objective.metric
        numbers = {name: float(value), **{key: float(each) for key, each in metrics.items()}}
        if not math.isfinite(numbers[name]):
            raise InfeasibleError(f"diverged: report got {value!r}")
        measurement = Measurement(
            step=len(self.measurements) + 1,
            metrics={key: each for key, each in numbers.items() if math.isfinite(each)},
            elapsed_s=time.monotonic() - self._began,
        )
        self.measurements.append(measurement)
        if self._report(measurement).stop and measurement.step < self._steps:
            raise StopTraining


def train_any(
    task: Trains,
    trial: Trial,
    objective: Objective,
    rule: Compare,
    report: Callable[[Measurement], Decision],
    folder: Path,
) -> TrialResult:
    """Trains a trial by the task's own function, and keeps its predictions.

    Args:
        task: Task that trains.
        trial: Trial to train.
        objective: Objective of the search.
        rule: Rule by which the predictions are judged.
        report: Function that is called after every step.
        folder: Folder for the predictions of the test rows.

    Returns:
        A completed result with the objective of the validation predictions; or a pruned result.

    Raises:
        InfeasibleError: The function reports an objective that is not finite.
        BadInputError: The function returns something else than it should.
        Exception: The function raises another error.
    """
    random.seed(trial.seed)
    np.random.seed(trial.seed % 2**32)
    began = time.monotonic()
    reporter = Reporter(objective, report, trial.epochs)
    try:
        returned = task.train(trial.params, trial.seed, reporter)
    except StopTraining:
        last = reporter.measurements[-1]
        return TrialResult(
            state=TrialState.PRUNED,
            value=last.metrics[objective.metric],
            best_step=last.step,
            measurements=tuple(reporter.measurements),
            duration_s=time.monotonic() - began,
        )
    value = _validation(returned, rule)
    if not math.isfinite(value):
        failure = Failure(kind=FailureKind.INFEASIBLE, message=f"the objective is {value}")
        return TrialResult(state=TrialState.FAILED, failure=failure)
    seconds = time.monotonic() - began
    if not reporter.measurements:
        measurement = Measurement(step=1, metrics={objective.metric: value}, elapsed_s=seconds)
        reporter.measurements.append(measurement)
        report(measurement)
    test = read_output(returned["test"], rule.deciding, "test")
    for field, values in test_dependence(task, trial.params).items():
        checked_rows(field, values, len(test.truth))
    is_judged = trial.phase not in (Phase.SEARCH, Phase.ABLATION)
    labels = predicted_labels(returned["test"], rule.deciding)
    file = folder / PREDICTIONS
    artifacts = {"predictions": _write(test, labels, file)} if is_judged else {}
    return TrialResult(
        state=TrialState.COMPLETED,
        value=value,
        best_step=len(reporter.measurements),
        measurements=tuple(reporter.measurements),
        duration_s=seconds,
        artifacts=artifacts,
    )


def test_dependence(task: object, params: Params) -> dict[str, Any]:
    """Returns times or groups of the test rows of a task that trains itself, by name.

    Raises:
        BadInputError: It has both, or they have not one value per row.
    """
    found = dict.fromkeys(("times", "groups"))
    for name, protocol in (("times", HasTimes), ("groups", HasGroups)):
        if isinstance(task, protocol):
            function = getattr(task, name)
            found[name] = function("test", **asked(function, params=params))
    return rows_that_depend(**found)


def _validation(returned: Any, rule: Compare) -> float:
    if not isinstance(returned, Mapping) or not {"validation", "test"} <= set(returned):
        raise BadInputError(
            "train: it must return a mapping {'validation': (truth, predictions), 'test': (truth, "
            f"predictions)}}; got a {type(returned).__name__}"
            + (f" of {', '.join(map(str, returned))}" if isinstance(returned, Mapping) else "")
        )
    value = returned["validation"]
    if isinstance(value, int | float | np.number):
        return float(value)
    given = read_output(value, rule.deciding, "validation")
    predictions = Predictions(given.truth, {}, given.kind)
    return score(rule.deciding, predictions, given.output)


def _write(given: GivenOutput, labels: Any, file: Path) -> str:
    """Writes the test rows unseen: no metric of them is computed before the end of the study."""
    truth, output = (given.truth, given.output) if labels is None else labels
    np.savez_compressed(
        file,
        allow_pickle=False,
        truth=truth,
        output=output,
        kind=np.array("labels" if labels is not None else given.kind),
        classes=np.array(given.classes, dtype=str),
    )
    return str(file)
