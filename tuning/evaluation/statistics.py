"""Statistics of a comparison: the gain, its uncertainty and the verdict.

All functions are pure. Gains are in the unit of the test metric, and a positive gain is better.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]


class Verdict(StrEnum):
    """The conclusion of a comparison."""

    BETTER = "better"
    INCONCLUSIVE = "inconclusive"
    WORSE = "worse"


@dataclass(frozen=True)
class Rows:
    """The test rows of a comparison, as far as they depend on each other.

    Attributes:
        unit: Meaning of a unit: an ``example``, a ``group`` of examples, or a ``time``.
        units: Number of units.
        block_length: Number of units per block; 1 if units do not depend on each other.
    """

    unit: Literal["example", "group", "time"]
    units: int
    block_length: int = 1

    @property
    def draws(self) -> float:
        """Number of independent draws: of units, or of blocks of them."""
        return self.units / self.block_length


@dataclass(frozen=True)
class Gain:
    """The gain of one configuration over another on the test split.

    Attributes:
        estimate: Difference of the mean test metrics over the seeds; positive if it is better.
        low: Lower end of the confidence interval.
        high: Upper end of the confidence interval.
        p_value: Two-sided p-value of the hypothesis that there is no difference.
        seed_error: Standard error due to the choice of seeds, and of the training rows if each
            seed has its own.
        example_error: Standard error due to the choice of test examples.
        degrees_of_freedom: Degrees of freedom of the interval's t distribution.
        rows: Test rows of the comparison; None if the gain comes from values alone.
        overlap: Share of the training rows that two seeds have in common; 1 if all seeds train on
            the same rows, so that the interval holds for these rows only.
    """

    estimate: float
    low: float
    high: float
    p_value: float
    seed_error: float
    example_error: float
    degrees_of_freedom: float
    rows: Rows | None = None
    overlap: float = 1.0


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


def gain_of(
    baseline: FloatArray,
    best: FloatArray,
    example_variance: float,
    rows: Rows | None,
    confidence: float = 0.95,
    *,
    overlaps: tuple[float, float] = (1.0, 1.0),
    paired: bool = False,
) -> Gain:
    """Estimates a gain with an interval that covers both other seeds and other examples.

    The variance is the sum of two parts. The first part is the variance of the mean over seeds. It
    follows Welch, because the two configurations may have different variances. If each seed has
    training rows of its own, it holds for other training rows too; see ``_of_mean``. The second
    part is the variance that is due to the choice of the test examples, as far as all models share
    it. The degrees of freedom follow Welch and Satterthwaite, from: Welch, "The generalization of
    Student's problem when several different population variances are involved", Biometrika 34,
    1947.

    Args:
        baseline: Test metrics of shape (seeds,), of which larger values are better.
        best: Array like ``baseline`` for the other configuration; the number of seeds may differ.
        example_variance: Variance of the gain due to the choice of examples.
        rows: Test rows; None if nothing is known about them.
        confidence: Confidence level of the interval, for example 0.95.
        overlaps: For each configuration the share of the training rows that two of its seeds have
            in common; 1 if all seeds train on the same rows.
        paired: Whether the two arrays have the same seeds in the same order, and each seed has the
            same training rows for both configurations.

    Returns:
        The gain. If a configuration has one seed only, the variance between seeds is unknown and
        the interval is infinite.
    """
    estimate = float(best.mean() - baseline.mean())
    example_error, draws = example_variance**0.5, rows.draws if rows else np.inf
    if min(len(baseline), len(best)) < 2 or draws <= 1:
        unknown = (-np.inf, np.inf, 1.0, np.inf, example_error, 0.0)
        return Gain(estimate, *unknown, rows, min(overlaps))
    if paired:
        seed_parts = [_of_mean(best - baseline, max(overlaps))]
    else:
        seed_parts = [_of_mean(*each) for each in zip((baseline, best), overlaps, strict=True)]
    # Each part is a variance of the mean and its degrees of freedom.
    parts = [(example_variance, draws - 1), *seed_parts]
    variance = sum(part for part, _ in parts)
    seed_error = sum(part for part, _ in seed_parts) ** 0.5
    if variance == 0:
        exact = (estimate, estimate, float(estimate == 0), 0.0, 0.0, np.inf)
        return Gain(estimate, *exact, rows, min(overlaps))
    freedom = variance**2 / sum(part**2 / df for part, df in parts)
    error = variance**0.5
    margin = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(estimate) / error, freedom))
    ends = (estimate - margin, estimate + margin)
    errors = (seed_error, example_error)
    return Gain(estimate, *ends, p_value, *errors, freedom, rows, min(overlaps))


def _of_mean(values: FloatArray, overlap: float) -> tuple[float, float]:
    """Returns the variance of a mean over seeds, with its degrees of freedom.

    If each seed has training rows of its own, two trainings that share rows are correlated, and
    their spread S² is too small for other training rows. With the correlation ρ the variance of a
    mean of J values is S² (1 / J + ρ / (1 - ρ)): Nadeau and Bengio, "Inference for the
    Generalization Error", Machine Learning 52, 2003. There, ρ comes from test sets that overlap;
    here all models have the same test split, whose variance is a part of its own, and ρ is the
    share of the training rows that two trainings have in common. To first order, what a model
    learns is a mean over its training rows, and two such means have this correlation; it is also
    the delete-d jackknife of Shao and Wu, Annals of Statistics 17, 1989. The spread between seeds
    on the same rows is taken for a spread between rows, so the interval is rather too wide than
    too narrow.

    Args:
        values: Values of shape (seeds,).
        overlap: Share of the training rows that two seeds have in common; 1 for the same rows.
    """
    correction = 1 / len(values) + (overlap / (1 - overlap) if overlap < 1 else 0.0)
    return float(values.var(ddof=1)) * correction, len(values) - 1


def verdict_of(gain: Gain, min_gain: float) -> Verdict:
    """Returns the verdict on a gain.

    The verdict is ``better`` if the whole interval lies above 0 and the estimate is at least
    ``min_gain``. It is ``worse`` if the whole interval lies below 0, and otherwise
    ``inconclusive``.
    """
    if gain.low > 0 and gain.estimate >= min_gain:
        return Verdict.BETTER
    if gain.high < 0:
        return Verdict.WORSE
    return Verdict.INCONCLUSIVE


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


def detectable_gain(gain: Gain, confidence: float = 0.95, power: float = 0.8) -> float:
    """Returns the true gain that a comparison with the same error detects with this power.

    The formula is the sum of two quantiles times the standard error, as in Card et al., "With
    Little Power Comes Great Responsibility", EMNLP 2020. The quantiles are those of the t
    distribution instead of the normal distribution.

    Args:
        gain: Gain of the comparison.
        confidence: Confidence level of the interval, for example 0.95.
        power: Probability that the gain is detected, for example 0.8.

    Returns:
        The gain in the unit of the metric; infinity if the spread between seeds is unknown.
    """
    if not np.isfinite(gain.seed_error) or gain.degrees_of_freedom == np.inf:
        return float("inf") if not np.isfinite(gain.seed_error) else 0.0
    error = (gain.seed_error**2 + gain.example_error**2) ** 0.5
    quantiles = np.asarray(stats.t.ppf([(1 + confidence) / 2, power], gain.degrees_of_freedom))
    return float(error * (quantiles[0] + quantiles[1]))


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
