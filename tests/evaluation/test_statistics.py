"""The statistics: known answers, all verdicts reachable, and an A/A check of the rule."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats as scipy_stats

from tuning.core.record import Predictions
from tuning.evaluation import gains
from tuning.evaluation.dependence import Tested
from tuning.evaluation.intervals import Gain, Rows, Verdict, detectable_gain, gain_of, verdict_of
from tuning.evaluation.statistics import (
    calibration,
    expected_best,
    holm,
    mcnemar,
    probability_of_improvement,
)
from tuning.metrics.catalogue import make_metric
from tuning.metrics.classification import is_right
from tuning.metrics.metric import Metric


def draw(rates: np.ndarray, examples: int, random: np.random.Generator) -> np.ndarray:
    """Right or wrong for every seed and example, where some examples are harder than others."""
    difficulty = random.normal(0, 1, examples)
    logits = np.log(rates / (1 - rates))[:, None] * 1.4 + difficulty[None, :]
    right: np.ndarray = random.random((len(rates), examples)) < 1 / (1 + np.exp(-logits))
    return right


ACCURACY = make_metric("accuracy")
# The same, because scikit-learn takes too long for thousands of comparisons.
QUICK_ACCURACY = replace(
    ACCURACY, compute=lambda truth, output, weights: float(is_right(truth, output).mean())
)


def gain(
    first: np.ndarray, second: np.ndarray, confidence: float = 0.95, metric: Metric = ACCURACY
) -> Gain:
    """The gain in accuracy of two configurations, given by what each seed has right."""

    def tested(right: np.ndarray) -> Tested:
        outputs = {f"seed-{seed}": row.astype(float) for seed, row in enumerate(right)}
        return Predictions(np.ones(right.shape[1], dtype=int), outputs), list(outputs)

    return gains.gain(metric, tested(first), tested(second), confidence)


def test_the_gain_is_the_difference_of_mean_accuracies() -> None:
    first = np.array([[True, False, False, True], [True, True, False, False]])
    second = np.array([[True, True, False, True], [True, True, True, True]])
    found = gain(first, second)
    assert found.estimate == pytest.approx(0.875 - 0.5)
    assert found.low < found.estimate < found.high


def test_seed_variance_alone_gives_welch() -> None:
    # Every example is right with the same share in each seed, so only seeds differ.
    random = np.random.default_rng(0)
    baseline, best = np.array([0.80, 0.84, 0.82]), np.array([0.90, 0.88, 0.92])
    first = np.stack(
        [random.permutation(np.arange(50_000) < share * 50_000) for share in baseline]
    )
    second = np.stack([random.permutation(np.arange(50_000) < share * 50_000) for share in best])
    found = gain(first, second)
    expected = scipy_stats.ttest_ind(best, baseline, equal_var=False)
    low, high = expected.confidence_interval()
    assert found.estimate == pytest.approx(0.08, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((low, high), abs=2e-3)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_example_variance_alone_gives_the_paired_t_interval(confidence: float) -> None:
    # All seeds of a configuration are right on the same examples, so only examples differ.
    random = np.random.default_rng(4)
    first, second = random.random(200) < 0.7, random.random(200) < 0.8
    found = gain(np.stack([first] * 3), np.stack([second] * 3), confidence)
    expected = scipy_stats.ttest_rel(second.astype(float), first.astype(float))
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(confidence))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.degrees_of_freedom == pytest.approx(199)


def test_both_variances_add_up_with_the_degrees_of_welch_and_satterthwaite() -> None:
    random = np.random.default_rng(5)
    hardness = random.random(300)  # the same for all models
    first = random.random((3, 300)) + hardness < 1.2
    second = random.random((4, 300)) + np.roll(hardness, 100) / 2 + hardness / 2 < 1.2
    found = gain(first, second)
    # What two different models share: a model's own part is in the variance of the seeds.
    shared = np.cov(np.concatenate([first, second]).astype(float)) / 300
    one = np.mean([shared[i, j] for i in range(3) for j in range(3) if i != j])
    two = np.mean([shared[i, j] for i in range(3, 7) for j in range(3, 7) if i != j])
    examples = one + two - 2 * shared[:3, 3:].mean()
    assert examples > 0
    seeds = [each.mean(axis=1).var(ddof=1) / len(each) for each in (first, second)]
    variance = examples + sum(seeds)
    freedom = variance**2 / (examples**2 / 299 + seeds[0] ** 2 / 2 + seeds[1] ** 2 / 3)
    margin = scipy_stats.t.ppf(0.975, freedom) * variance**0.5
    assert found.degrees_of_freedom == pytest.approx(freedom)
    assert found.high - found.estimate == pytest.approx(margin)
    assert found.estimate - found.low == pytest.approx(margin)


def test_the_gain_of_two_configurations_needs_their_values_only() -> None:
    baseline, best = np.array([3.0, 3.4, 3.2]), np.array([4.0, 4.2])
    # Without a variance of the examples it is Welch's.
    found = gain_of(baseline, best, 0.0, Rows("example", 50))
    expected = scipy_stats.ttest_ind(best, baseline, equal_var=False)
    assert found.estimate == pytest.approx(0.9)
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval())
    assert found.p_value == pytest.approx(expected.pvalue)
    # Without a variance of the seeds it is that of the examples.
    same = gain_of(np.full(3, 3.0), np.full(2, 3.5), 0.04, Rows("example", 50))
    margin = scipy_stats.t.ppf(0.975, 49) * 0.2
    assert (same.low, same.high) == pytest.approx((0.5 - margin, 0.5 + margin))
    assert (same.seed_error, same.example_error) == pytest.approx((0.0, 0.2))


def test_one_seed_knows_no_interval() -> None:
    one = np.ones((1, 10), dtype=bool)
    found = gain(one, ~one)
    assert (found.low, found.high) == (-np.inf, np.inf)
    assert verdict_of(found, 0.0) is Verdict.INCONCLUSIVE


def test_identical_sources_have_no_gain() -> None:
    same = np.random.default_rng(1).random((3, 100)) < 0.8
    found = gain(same, same)
    assert found.estimate == 0
    assert verdict_of(found, 0.0) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("low", "estimate", "high", "expected"),
    [
        (0.001, 0.010, 0.02, Verdict.BETTER),
        (0.001, 0.0015, 0.002, Verdict.INCONCLUSIVE),
        (-0.001, 0.010, 0.02, Verdict.INCONCLUSIVE),
        (0.0, 0.010, 0.02, Verdict.INCONCLUSIVE),
        (-0.02, -0.01, 0.001, Verdict.INCONCLUSIVE),
        (-0.02, -0.01, -0.001, Verdict.WORSE),
    ],
)
def test_the_rule_of_the_verdict(
    low: float, estimate: float, high: float, expected: Verdict
) -> None:
    found = Gain(estimate, low, high, 0.01, 0.001, 0.001, 4.0)
    assert verdict_of(found, min_gain=0.002) is expected


@pytest.mark.parametrize("candidates", [1, 4])
def test_the_same_configuration_is_rarely_called_better(candidates: int) -> None:
    """Also if the best of several was chosen, on other examples, by the mean over its seeds."""
    random = np.random.default_rng(7)
    called = []
    for _ in range(2_000):
        rates = np.clip(random.normal(0.86, 0.004, 3 * (1 + candidates)), 0.01, 0.99)
        validation = draw(rates[3:], 500, random).mean(axis=1).reshape(candidates, 3).mean(axis=1)
        chosen = 3 * (1 + int(np.argmax(validation)))
        right = draw(np.concatenate([rates[:3], rates[chosen : chosen + 3]]), 1_000, random)
        found = gain(right[:3], right[3:], metric=QUICK_ACCURACY)
        called.append(verdict_of(found, 0.0))
    # The nominal rate is 2.5% on either side: 50 of 2,000, with a standard deviation of 7. The
    # seeds that won on validation are those that are tested, so chosen ones are slightly better.
    assert 5 <= called.count(Verdict.BETTER) <= 70
    assert called.count(Verdict.WORSE) <= 70


def test_a_large_gain_is_found() -> None:
    random = np.random.default_rng(8)
    found = 0
    for _ in range(100):
        rates = np.concatenate([random.normal(0.84, 0.003, 3), random.normal(0.88, 0.003, 3)])
        right = draw(rates, 5_000, random)
        difference = gain(right[:3], right[3:], metric=QUICK_ACCURACY)
        found += verdict_of(difference, 0.002) is Verdict.BETTER
    assert found >= 95


def test_mcnemar_counts_and_is_exact() -> None:
    first = np.array([True] * 50 + [True] * 3 + [False] * 12 + [False] * 35)
    second = np.array([True] * 50 + [False] * 3 + [True] * 12 + [False] * 35)
    found = mcnemar(first, second)
    assert (found.both_right, found.only_first, found.only_second, found.both_wrong) == (
        50,
        3,
        12,
        35,
    )
    # Twice the binomial tail of 3 or fewer of 15.
    assert found.p_value == pytest.approx(2 * sum([1, 15, 105, 455]) / 2**15)
    assert found.difference == pytest.approx(0.09)
    assert found.low < 0.09 < found.high


def test_mcnemar_of_equal_checkpoints() -> None:
    same = np.array([True, False, True])
    assert mcnemar(same, same).p_value == 1


def test_probability_of_improvement() -> None:
    estimate, low, high = probability_of_improvement(
        np.array([0.80, 0.81, 0.82]), np.array([0.90, 0.80, 0.82])
    )
    assert estimate == pytest.approx(0.5)
    assert 0 <= low <= estimate <= high <= 1


def test_three_wins_of_three_are_not_certainty() -> None:
    estimate, low, high = probability_of_improvement(np.zeros(3), np.ones(3))
    expected = scipy_stats.binomtest(3, 3).proportion_ci(method="exact")
    assert (estimate, high) == (1, 1)
    assert low == pytest.approx(expected.low) == pytest.approx(0.292, abs=1e-3)
    assert probability_of_improvement(np.ones(3), np.zeros(3))[:2] == (0, 0)


def test_what_can_be_detected_shrinks_with_seeds() -> None:
    random = np.random.default_rng(9)
    sizes = []
    for seeds in (3, 12):
        rates = np.clip(random.normal(0.86, 0.004, 2 * seeds), 0, 1)
        right = draw(rates, 5_000, random)
        sizes.append(detectable_gain(gain(right[:seeds], right[seeds:])))
    assert sizes[0] > sizes[1] > 0


def test_what_can_be_detected_is_found_four_times_out_of_five() -> None:
    # The errors of seeds and examples make 0.005 together. With so many degrees of freedom the
    # quantiles are those of the normal distribution: 1.960 and 1.645, and 0.842.
    known = Gain(0.0, -1.0, 1.0, 0.5, 0.003, 0.004, 1e9)
    found = detectable_gain(known)
    assert found == pytest.approx((1.960 + 0.842) * 0.005, rel=1e-3)
    assert detectable_gain(known, confidence=0.9) == pytest.approx(
        (1.645 + 0.842) * 0.005, rel=1e-3
    )
    estimates = np.random.default_rng(4).normal(found, 0.005, 100_000)
    assert np.mean(estimates - 1.960 * 0.005 > 0) == pytest.approx(0.8, abs=0.01)


def test_the_expected_best_is_that_of_all_draws() -> None:
    values = np.array([0.3, 0.9, 0.5, 0.7])
    expected = [
        np.mean([max(draw) for draw in itertools.combinations(values, n)]) for n in (1, 2, 3, 4)
    ]
    np.testing.assert_allclose(expected_best(values), expected)


def test_the_expected_best_of_thousands_of_trials_is_known() -> None:
    total = 3_000
    drawn = np.arange(1, total + 1)
    # Of the numbers from 1 to N, the largest of n drawn without replacement (a textbook's result).
    expected = drawn * (total + 1) / (drawn + 1)
    np.testing.assert_allclose(expected_best(drawn.astype(float)), expected, rtol=1e-9)


def test_holm_is_the_textbooks() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1.0, 1.0])


def test_probabilities_that_mean_what_they_say_are_calibrated() -> None:
    random = np.random.default_rng(6)
    probability = random.random(50_000)
    labels = random.random(50_000) < probability
    said, true, counts, error = calibration(labels, probability)
    np.testing.assert_allclose(said, true, atol=0.03)
    assert counts.sum() == 50_000
    assert error < 0.01
    assert calibration(labels, np.sqrt(probability))[3] > 0.1
