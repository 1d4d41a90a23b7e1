"""The intervals of gains cover the truth, for every family of metrics, in simulated studies.

A simulated study draws test examples and, per seed, models. The truth of a study is the gain of
the same kind of models on very many examples and seeds.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from tuning.core.record import Predictions
from tuning.evaluation.gains import gain
from tuning.evaluation.intervals import Verdict, verdict_of
from tuning.metrics.catalogue import make_metric
from tuning.metrics.scoring import scores

STUDIES = 600
EXAMPLES = 400

Drawn = tuple[Predictions, list[str]]


def classifier(quality: float, classes: int) -> Callable[..., Drawn]:
    """Makes models whose scores of the true class are higher by ``quality``, give or take."""

    def draw(examples: int, seeds: int, data: Any, models: Any) -> Drawn:
        shares = np.linspace(2, 1, classes) / np.linspace(2, 1, classes).sum()
        truth = data.choice(classes, size=examples, p=shares)
        hardness = data.normal(0, 1.0, (examples, classes))  # the same for all models
        outputs = {}
        for seed in range(seeds):
            strength = quality + models.normal(0, 0.15)
            noise = models.normal(0, 0.7, (examples, classes))
            logits = strength * np.eye(classes)[truth] + hardness + noise
            exponentials = np.exp(logits)
            outputs[f"{seed}"] = exponentials / exponentials.sum(axis=1, keepdims=True)
        if classes == 2:
            outputs = {name: each[:, 1] for name, each in outputs.items()}
        kind: Any = "binary" if classes == 2 else "multiclass"
        return Predictions(truth, outputs, kind), list(outputs)

    return draw


def regression(error: float) -> Callable[..., Drawn]:
    """Makes models whose errors have about this standard deviation."""

    def draw(examples: int, seeds: int, data: Any, models: Any) -> Drawn:
        truth = data.normal(10, 3, examples)
        hardness = data.standard_t(6, examples)
        outputs = {
            f"{seed}": truth
            + (error + models.normal(0, 0.08)) * hardness
            + models.normal(0, 0.5, examples)
            for seed in range(seeds)
        }
        return Predictions(truth, outputs, "regression"), list(outputs)

    return draw


WORSE_AND_BETTER = {
    "accuracy": (classifier(1.5, 2), classifier(1.7, 2)),
    "roc_auc": (classifier(1.5, 2), classifier(1.7, 2)),
    "f1_macro": (classifier(1.5, 4), classifier(1.7, 4)),
    "mae": (regression(1.1), regression(1.0)),
    "rmse": (regression(1.1), regression(1.0)),
    "r2": (regression(1.1), regression(1.0)),
}


@cache
def true_gain(name: str) -> float:
    metric = make_metric(name)
    means = []
    for draw in WORSE_AND_BETTER[name]:
        values: list[float] = []
        for part in range(40):
            data, models = np.random.default_rng([1, part]), np.random.default_rng([2, part])
            predictions, trials = draw(20_000, 20, data, models)
            values += scores(metric, predictions, trials)
        means.append(metric.sign * np.mean(values))
    return float(means[1] - means[0])


def studies(name: str, seeds: int, draws: tuple[Any, Any], count: int) -> Any:
    metric = make_metric(name)
    for study in range(count):
        pair = [
            draw(EXAMPLES, seeds, np.random.default_rng([3, study]), models)
            for draw, models in zip(
                draws,
                (np.random.default_rng([4, study]), np.random.default_rng([5, study])),
                strict=True,
            )
        ]
        yield gain(metric, pair[0], pair[1], 0.95)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seeds", [3, 8])
@pytest.mark.parametrize("name", WORSE_AND_BETTER)
def test_intervals_of_95_percent_cover_the_truth(name: str, seeds: int) -> None:
    truth = true_gain(name)
    covered = [
        each.low <= truth <= each.high
        for each in studies(name, seeds, WORSE_AND_BETTER[name], STUDIES)
    ]
    assert 0.93 <= np.mean(covered) <= 0.98


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seeds", [3, 8])
@pytest.mark.parametrize("name", WORSE_AND_BETTER)
def test_of_two_equal_configurations_neither_is_better(name: str, seeds: int) -> None:
    first, _ = WORSE_AND_BETTER[name]
    verdicts = [verdict_of(each, 0.0) for each in studies(name, seeds, (first, first), STUDIES)]
    for verdict in (Verdict.BETTER, Verdict.WORSE):
        assert verdicts.count(verdict) <= 0.035 * STUDIES
