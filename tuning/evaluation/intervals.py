"""The gain of one configuration over another: its interval and the verdict.

All functions are pure. Gains are in the unit of the test metric, and a positive gain is better.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.floating[Any]]


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
    if min(len(baseline), len(best)) < 2 or draws <= 1 or not np.isfinite(example_variance):
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
