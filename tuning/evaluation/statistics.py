"""Statistics of a comparison besides the interval of its gain. All functions are pure."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class McNemar:
    """The result of McNemar's test of two models on the same examples.

    Attributes:
        both_right: Number of examples that both models classify correctly.
        only_first: Number of examples that only the first model classifies correctly.
        only_second: Number of examples that only the second model classifies correctly.
        both_wrong: Number of examples that both models classify wrongly.
        p_value: Exact two-sided p-value.
        low: Lower end of the interval of the difference in accuracy, second minus first.
        high: Upper end of the same interval.
    """

    both_right: int
    only_first: int
    only_second: int
    both_wrong: int
    p_value: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Accuracy of the second model minus that of the first."""
        total = self.both_right + self.only_first + self.only_second + self.both_wrong
        return (self.only_second - self.only_first) / total


def probability_of_improvement(
    baseline: FloatArray, best: FloatArray, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Estimates P(best > baseline) for one training of each with the same seed.

    The estimate is the share of pairs in which the best wins; a tie counts half. It follows
    Bouthillier et al., "Accounting for Variance in Machine Learning Benchmarks", MLSys 2021. The
    interval is exact, after Clopper and Pearson, Biometrika 26, 1934; it holds for whole wins, so
    ties widen it to both sides. A bootstrap would be wrong: with three wins in three pairs, its
    interval has no width.

    Args:
        baseline: Test metrics of shape (pairs,), one per seed, of which larger values are better.
        best: Test metrics of shape (pairs,), in the same order of seeds.
        confidence: Confidence level of the interval, for example 0.95.

    Returns:
        The estimate, and the lower and upper end of its interval.
    """
    pairs = len(best)
    wins, ties = int(np.sum(best > baseline)), int(np.sum(best == baseline))
    tail, most = (1 - confidence) / 2, wins + ties
    low = float(stats.beta.ppf(tail, wins, pairs - wins + 1)) if wins else 0.0
    high = float(stats.beta.ppf(1 - tail, most + 1, pairs - most)) if most < pairs else 1.0
    return (wins + ties / 2) / pairs, low, high


def mcnemar(first: BoolArray, second: BoolArray, confidence: float = 0.95) -> McNemar:
    """Performs McNemar's exact test of two models on the same examples.

    The test follows Dietterich, "Approximate Statistical Tests for Comparing Supervised
    Classification Learning Algorithms", Neural Computation 10, 1998. The result holds for these
    two models, not for their configurations.

    Args:
        first: Whether the first model classifies each example correctly, of shape (examples,).
        second: Whether the second model classifies each example correctly, of shape (examples,).
        confidence: Confidence level of the interval, for example 0.95.
    """
    only_first = int(np.sum(first & ~second))
    only_second = int(np.sum(~first & second))
    discordant = only_first + only_second
    p_value = float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0
    difference = second.astype(float) - first.astype(float)
    error = float(difference.std(ddof=1)) / len(difference) ** 0.5
    margin = float(stats.norm.ppf((1 + confidence) / 2)) * error
    return McNemar(
        both_right=int(np.sum(first & second)),
        only_first=only_first,
        only_second=only_second,
        both_wrong=int(np.sum(~first & ~second)),
        p_value=p_value,
        low=float(difference.mean()) - margin,
        high=float(difference.mean()) + margin,
    )


def holm(p_values: FloatArray) -> FloatArray:
    """Adjusts p-values for multiple tests: Holm, Scandinavian Journal of Statistics 6, 1979."""
    order = np.argsort(p_values)
    steps = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def expected_best(values: FloatArray) -> FloatArray:
    """Returns the expected best value of 1, 2, …, N trials, drawn without replacement.

    This is the unbiased estimator of Tang et al., "Showing Your Work Doesn't Always Work", ACL
    2020, which corrects Dodge et al., "Show Your Work", EMNLP 2019. It assumes independent trials.
    This holds for a random search, but not for a searcher that learns from earlier trials.

    Args:
        values: Objective values of the N trials, of shape (N,); higher is better.

    Returns:
        Expected best values, of shape (N,).
    """
    ordered = np.sort(values)
    total = len(ordered)
    # Logarithms of factorials, because the factorial of 1000 exceeds the floating-point range.
    log = special.gammaln(np.arange(1, total + 2))
    expected = np.empty(total)
    for n in range(1, total + 1):
        # Share of the draws of n trials whose largest value is the i-th smallest, for i >= n.
        place = np.arange(n, total + 1)
        ways = log[place - 1] - log[n - 1] - log[place - n]
        share = np.exp(ways - (log[total] - log[n] - log[total - n]))
        expected[n - 1] = float(share @ ordered[n - 1 :])
    return expected


def calibration(
    labels: BoolArray, probability: FloatArray, bins: int = 10
) -> tuple[FloatArray, FloatArray, NDArray[np.int64], float]:
    """Compares predicted probabilities with the observed shares of class 1.

    It follows Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Args:
        labels: Whether each example has class 1, of shape (examples,).
        probability: Predicted probability of class 1, of shape (examples,).
        bins: Number of bins of equal width.

    Returns:
        Three arrays with a value per non-empty bin: mean probability, share of class 1, and number
        of examples. The fourth value is the expected calibration error, which is the mean absolute
        difference of the first two arrays, weighted by the number of examples.
    """
    index = np.minimum((probability * bins).astype(int), bins - 1)
    counts = np.bincount(index, minlength=bins)
    filled = counts > 0
    predicted = np.bincount(index, probability, bins)[filled] / counts[filled]
    observed = np.bincount(index, labels.astype(float), bins)[filled] / counts[filled]
    error = float(np.abs(predicted - observed) @ counts[filled] / len(labels))
    return predicted, observed, counts[filled], error


def welch(
    first: FloatArray, second: FloatArray, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Returns the difference of two means, first minus second, with Welch's interval.

    The interval follows Welch, Biometrika 34, 1947.

    Args:
        first: Values of shape (seeds,), one per seed.
        second: Values like ``first``; the number of seeds may differ.
        confidence: Confidence level of the interval, for example 0.95.

    Returns:
        The estimate, and the lower and upper end of the interval. The ends are infinite if one
        array has fewer than two values.
    """
    estimate = float(first.mean() - second.mean())
    if min(len(first), len(second)) < 2:
        return estimate, -np.inf, np.inf
    if first.var() == second.var() == 0:
        return estimate, estimate, estimate
    interval = stats.ttest_ind(first, second, equal_var=False).confidence_interval(confidence)
    return estimate, float(interval.low), float(interval.high)
