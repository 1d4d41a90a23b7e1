"""Intervals cover the truth where rows depend on each other, and where seeds share training rows.

A simulated study draws its rows anew; the truth is the gain on very many rows.
"""

from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.evaluation.test_dependence import drawn, pair
from tuning.core.record import Predictions
from tuning.data.cuts import Cut, overlap_of
from tuning.evaluation.gains import gain
from tuning.evaluation.intervals import Rows, gain_of
from tuning.metrics.catalogue import make_metric
from tuning.metrics.scoring import scores

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

STUDIES = 500
COUNT = 800


@cache
def true_gain(name: str, memory: float) -> float:
    metric, means = make_metric(name), []
    for part in range(60):
        predictions = drawn(np.random.default_rng([1, part]), 20_000, memory)
        first, second = (np.mean(scores(metric, *each)) for each in pair(predictions))
        means.append(metric.sign * (second - first))
    return float(np.mean(means))


def coverage(name: str, memory: float, **known: Any) -> float:
    truth, metric = true_gain(name, memory), make_metric(name)
    covered = []
    for study in range(STUDIES):
        predictions = drawn(np.random.default_rng([2, study]), COUNT, memory, **known)
        found = gain(metric, *pair(predictions), 0.95)
        covered.append(found.low <= truth <= found.high)
    return float(np.mean(covered))


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("name", ["mae", "r2"])
def test_blocks_of_times_cover_where_single_rows_do_not(name: str, memory: float) -> None:
    assert 0.91 <= coverage(name, memory, times=np.arange(COUNT)) <= 0.99
    if memory > 0.7:
        assert coverage(name, memory) < 0.9


def grouped(random: Any, groups: int, size: int) -> Predictions:
    """Two configurations whose errors are much the same within a group."""
    place = np.repeat(np.arange(groups), size)
    truth = random.normal(size=groups * size)
    hardness = random.exponential(size=groups)[place]
    outputs = {}
    for scale, names in zip(
        (1.1, 1.0), (["first-1", "first-2"], ["second-1", "second-2"]), strict=True
    ):
        own = random.exponential(size=groups)[place]
        for name in names:
            spread = scale * (1 + 0.03 * random.normal()) * (hardness + own)
            outputs[name] = truth + spread * random.normal(size=len(truth))
    return Predictions(truth, outputs, "regression", groups=place)


@pytest.mark.parametrize("name", ["mae", "rmse"])
def test_whole_groups_cover_where_single_rows_do_not(name: str) -> None:
    metric, values = make_metric(name), []
    for part in range(20):
        predictions = grouped(np.random.default_rng([3, part]), 4_000, 20)
        first, second = (np.mean(scores(metric, *each)) for each in pair(predictions))
        values.append(metric.sign * (second - first))
    truth = float(np.mean(values))
    covered: list[bool] = []
    naive: list[bool] = []
    for study in range(STUDIES):
        predictions = grouped(np.random.default_rng([4, study]), 60, 20)
        alone = Predictions(predictions.truth, predictions.outputs, "regression")
        for each, found in ((predictions, covered), (alone, naive)):
            interval = gain(metric, *pair(each), 0.95)
            found.append(interval.low <= truth <= interval.high)
    assert 0.91 <= np.mean(covered) <= 0.99
    assert np.mean(naive) < 0.88


@pytest.mark.parametrize(("method", "seeds"), [("split", 3), ("split", 10), ("folds", 5)])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_the_correction_for_shared_training_rows_covers_other_training_rows(
    method: Any, seeds: int, noise: float
) -> None:
    """To first order, what a model has learned is a mean over its training rows."""
    cuts = [Cut(method=method, number=n + 1, seed=1).rows(200, 0.2)[0] for n in range(seeds)]
    overlap, rows = overlap_of(cuts), Rows("example", 10**9)
    corrected: list[bool] = []
    uncorrected: list[bool] = []
    for study in range(2_000):
        random = np.random.default_rng([5, study])
        pool = random.normal(size=(2, 200))
        first, second = (
            np.array([each[cut].mean() + 0.08 * noise * random.normal() for cut in cuts])
            for each in pool
        )
        options: Any = {"overlaps": (overlap, overlap), "paired": True}
        for found, chosen in ((corrected, options), (uncorrected, {})):
            interval = gain_of(first, second, 0.0, rows, **chosen)
            found.append(interval.low <= 0 <= interval.high)
    assert np.mean(uncorrected) < 0.9
    # Noise of the seeds is taken for that of the rows, so the interval is rather too wide.
    assert 0.93 <= np.mean(corrected) <= (0.97 if noise == 0 else 1.0)
