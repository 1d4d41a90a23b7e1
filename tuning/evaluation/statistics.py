"""The statistics of a comparison: how large the gain is, how sure, and what to call it.

All functions are pure. Accuracies and gains are shares from 0 to 1, not percent.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]


class Verdict(StrEnum):
    """What a comparison concludes."""

    BETTER = "better"
    INCONCLUSIVE = "inconclusive"
    WORSE = "worse"


@dataclass(frozen=True)
class Gain:
    """How much better one configuration is than another on the test split.

    Attributes:
        estimate: Difference of the mean accuracies.
        low: Lower end of the confidence interval.
        high: Upper end.
        p_value: Two-sided, of no difference.
        seed_error: Standard error from training with other seeds.
        example_error: Standard error from other test examples.
        degrees_of_freedom: Of the t distribution of the interval.
    """

    estimate: float
    low: float
    high: float
    p_value: float
    seed_error: float
    example_error: float
    degrees_of_freedom: float

    @property
    def interval(self) -> str:
        """Both ends, in percentage points: ``-0.31 to +1.40``."""
        return f"{points(self.low)} to {points(self.high)}"


def points(share: float) -> str:
    """A difference of accuracies in percentage points, with its sign: ``+0.42``."""
    return f"{100 * share:+.2f}"


@dataclass(frozen=True)
class McNemar:
    """Two checkpoints on the same examples.

    Attributes:
        both_right: Examples that both get right.
        only_first: Examples that only the first gets right.
        only_second: Examples that only the second gets right.
        both_wrong: Examples that both get wrong.
        p_value: Exact, two-sided.
        low: Lower end of the 95% interval on the difference in accuracy, second minus first.
        high: Upper end.
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
        """Accuracy of the second minus that of the first."""
        total = self.both_right + self.only_first + self.only_second + self.both_wrong
        return (self.only_second - self.only_first) / total


def gain(baseline: BoolArray, best: BoolArray, confidence: float = 0.95) -> Gain:
    """Estimates a gain with an interval for other seeds and other examples at once.

    The variance is the sum of two: that of the mean over seeds (Welch, the configurations may vary
    differently) and that of the mean over examples of the difference, averaged over seeds, which
    is paired because both configurations see the same examples. The first contains a part of the
    second, so the interval is a little too wide rather than too narrow. Degrees of freedom after
    Welch and Satterthwaite, from: Welch, "The generalization of Student's problem when several
    different population variances are involved", Biometrika 34, 1947.

    Args:
        baseline: Which test examples are right, of shape (seeds, examples).
        best: The same of the other configuration; its number of seeds may differ.
        confidence: Of the interval.

    Returns:
        The gain. With one seed of a configuration nothing is known of the variance between
        seeds, and the interval is infinite.
    """
    examples = baseline.shape[1]
    difference = best.mean(axis=0) - baseline.mean(axis=0)
    estimate = float(difference.mean())
    # Each part: a variance of the mean, and the degrees of freedom by which it is known.
    parts = [(float(difference.var(ddof=1)) / examples, examples - 1)]
    for config in (baseline, best):
        seeds = config.shape[0]
        if seeds < 2:
            return Gain(estimate, -np.inf, np.inf, 1.0, np.inf, parts[0][0] ** 0.5, 0.0)
        parts.append((float(config.mean(axis=1).var(ddof=1)) / seeds, seeds - 1))
    variance = sum(part for part, _ in parts)
    example_error, seed_error = parts[0][0] ** 0.5, (parts[1][0] + parts[2][0]) ** 0.5
    if variance == 0:
        return Gain(estimate, estimate, estimate, float(estimate == 0), 0.0, 0.0, np.inf)
    freedom = variance**2 / sum(part**2 / df for part, df in parts)
    error = variance**0.5
    margin = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(estimate) / error, freedom))
    return Gain(
        estimate, estimate - margin, estimate + margin, p_value, seed_error, example_error, freedom
    )


def verdict_of(gain: Gain, min_gain: float) -> Verdict:
    """The rule of the verdict.

    ``better`` if the whole interval lies above 0 and the estimate is worth having; ``worse`` if
    the whole interval lies below 0; otherwise ``inconclusive``.
    """
    if gain.low > 0 and gain.estimate >= min_gain:
        return Verdict.BETTER
    if gain.high < 0:
        return Verdict.WORSE
    return Verdict.INCONCLUSIVE


def probability_of_improvement(
    baseline: FloatArray, best: FloatArray
) -> tuple[float, float, float]:
    """Estimates P(best > baseline) for one training of each, by seed.

    After Bouthillier et al., "Accounting for Variance in Machine Learning Benchmarks", MLSys 2021:
    the share of pairs in which the best wins (a tie counts half). The interval is the exact one of
    Clopper and Pearson, Biometrika 26, 1934: a bootstrap of three wins would be certain.

    Args:
        baseline: Test accuracies of shape (pairs,), by seed.
        best: The same, in the same order of seeds.

    Returns:
        Estimate, lower and upper end of the 95% interval.
    """
    pairs = len(best)
    wins = float(np.sum(best > baseline) + 0.5 * np.sum(best == baseline))
    low = float(stats.beta.ppf(0.025, wins, pairs - wins + 1)) if wins > 0 else 0.0
    high = float(stats.beta.ppf(0.975, wins + 1, pairs - wins)) if wins < pairs else 1.0
    return wins / pairs, low, high


def mcnemar(first: BoolArray, second: BoolArray) -> McNemar:
    """McNemar's exact test of two checkpoints on the same examples.

    After Dietterich, "Approximate Statistical Tests for Comparing Supervised Classification
    Learning Algorithms", Neural Computation 10, 1998. It speaks of these two checkpoints, not of
    their configurations.

    Args:
        first: Which examples the first gets right, of shape (examples,).
        second: The same of the second.
    """
    only_first = int(np.sum(first & ~second))
    only_second = int(np.sum(~first & second))
    discordant = only_first + only_second
    p_value = float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0
    difference = second.astype(float) - first.astype(float)
    error = float(difference.std(ddof=1)) / len(difference) ** 0.5
    margin = float(stats.norm.ppf(0.975)) * error
    return McNemar(
        both_right=int(np.sum(first & second)),
        only_first=only_first,
        only_second=only_second,
        both_wrong=int(np.sum(~first & ~second)),
        p_value=p_value,
        low=float(difference.mean()) - margin,
        high=float(difference.mean()) + margin,
    )


def detectable_gain(gain: Gain, confidence: float = 0.95, power: float = 0.8) -> float:
    """The true gain that a comparison of this spread and size finds with the given power.

    The usual sum of two quantiles times the standard error, with t for the normal: Card et al.,
    "With Little Power Comes Great Responsibility", EMNLP 2020.

    Returns:
        The gain, or infinity if the spread is unknown.
    """
    if not np.isfinite(gain.seed_error) or gain.degrees_of_freedom == np.inf:
        return float("inf") if not np.isfinite(gain.seed_error) else 0.0
    error = (gain.seed_error**2 + gain.example_error**2) ** 0.5
    quantiles = np.asarray(stats.t.ppf([(1 + confidence) / 2, power], gain.degrees_of_freedom))
    return float(error * (quantiles[0] + quantiles[1]))


def holm(p_values: FloatArray) -> FloatArray:
    """Adjusts p-values for being several: Holm, Scandinavian Journal of Statistics 6, 1979."""
    order = np.argsort(p_values)
    steps = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def expected_best(values: FloatArray) -> FloatArray:
    """The best value to expect of 1, 2, …, N of these trials, drawn without replacement.

    The unbiased estimator of Tang et al., "Showing Your Work Doesn't Always Work", ACL 2020, which
    corrects Dodge et al., "Show Your Work", EMNLP 2019. It speaks of independent draws: of a
    random search, not of one that learns.

    Args:
        values: Of N trials; higher is better.

    Returns:
        Shape (N,).
    """
    ordered = np.sort(values)
    total = len(ordered)
    # Of factorials, in logarithms: those of a thousand trials are beyond floating point.
    log = special.gammaln(np.arange(1, total + 2))
    expected = np.empty(total)
    for n in range(1, total + 1):
        # The share of the draws of n in which the i-th smallest is the largest, from i = n on.
        place = np.arange(n, total + 1)
        ways = log[place - 1] - log[n - 1] - log[place - n]
        share = np.exp(ways - (log[total] - log[n] - log[total - n]))
        expected[n - 1] = float(share @ ordered[n - 1 :])
    return expected


def calibration(
    labels: BoolArray, probability: FloatArray, bins: int = 10
) -> tuple[FloatArray, FloatArray, NDArray[np.int64], float]:
    """How far probabilities mean what they say: Guo et al., "On Calibration", ICML 2017.

    Args:
        labels: Which examples are of class 1, of shape (examples,).
        probability: Of class 1.
        bins: Of equal width.

    Returns:
        By bin that is not empty: mean probability, share of class 1, and examples; and the
        expected calibration error, the mean gap weighted by examples.
    """
    index = np.minimum((probability * bins).astype(int), bins - 1)
    counts = np.bincount(index, minlength=bins)
    filled = counts > 0
    said = np.bincount(index, probability, bins)[filled] / counts[filled]
    true = np.bincount(index, labels.astype(float), bins)[filled] / counts[filled]
    error = float(np.abs(said - true) @ counts[filled] / len(labels))
    return said, true, counts[filled], error


def welch(
    first: FloatArray, second: FloatArray, confidence: float = 0.95
) -> tuple[float, float, float]:
    """The difference of two means, first minus second, with its interval between seeds.

    Welch, Biometrika 34, 1947.

    Returns:
        Estimate, lower and upper end; infinite ends where one has fewer than two values.
    """
    estimate = float(first.mean() - second.mean())
    if min(len(first), len(second)) < 2:
        return estimate, -np.inf, np.inf
    if first.var() == second.var() == 0:
        return estimate, estimate, estimate
    found = stats.ttest_ind(first, second, equal_var=False).confidence_interval(confidence)
    return estimate, float(found.low), float(found.high)
