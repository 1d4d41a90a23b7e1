"""Every metric of the catalogue gives the value of scikit-learn, or of its formula."""

from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk

from tuning.core.record import Predictions
from tuning.metrics.catalogue import METRICS, check_keys, make_metric
from tuning.metrics.metric import Metric
from tuning.metrics.scoring import example_scores, resampled_scores, scales_of, score
from tuning.metrics.units import independent

ROWS = 400
RANDOM = np.random.default_rng(7)
WEIGHTS = RANDOM.uniform(0.2, 3.0, ROWS)

BINARY = RANDOM.integers(0, 2, ROWS)
PROBABILITY = np.clip(0.3 * BINARY + RANDOM.uniform(0, 0.7, ROWS), 0, 1).round(2)  # with ties
CLASSES = RANDOM.integers(0, 4, ROWS)
LOGITS = RANDOM.normal(size=(ROWS, 4)) + 1.2 * np.eye(4)[CLASSES]
SHARES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
LABELS = RANDOM.integers(0, 2, (ROWS, 3))
LABEL_SHARES = np.clip(0.3 * LABELS + RANDOM.uniform(0, 0.7, (ROWS, 3)), 0, 1)
TARGET = RANDOM.normal(100, 20, ROWS)
FORECAST = TARGET + RANDOM.normal(2, 9, ROWS)
TARGETS = RANDOM.normal(5, 2, (ROWS, 2))
FORECASTS = TARGETS + RANDOM.normal(0.1, 1, (ROWS, 2))

DATA: dict[str, tuple[Any, Any]] = {
    "binary": (BINARY, PROBABILITY),
    "multiclass": (CLASSES, SHARES),
    "multilabel": (LABELS, LABEL_SHARES),
    "regression": (TARGET, FORECAST),
    "several targets": (TARGETS, FORECASTS),
}


def hard(kind: str) -> Any:
    shares = DATA[kind][1]
    return shares.argmax(axis=1) if kind == "multiclass" else (shares >= 0.5).astype(int)


def averaged(function: Any, average: str) -> Any:
    return lambda y, p, kind, **w: function(y, hard(kind), average=average, **w)


def of_probabilities(function: Any, **options: Any) -> Any:
    return lambda y, p, kind, **w: function(y, p, **options, **w)


BY_SKLEARN: dict[tuple[str, tuple[str, ...]], Any] = {
    ("accuracy", ("binary", "multiclass", "multilabel")): lambda y, p, kind, **w: (
        sk.accuracy_score(y, hard(kind), **w)
    ),
    ("balanced_accuracy", ("binary", "multiclass")): lambda y, p, kind, **w: (
        sk.balanced_accuracy_score(y, hard(kind), **w)
    ),
    ("top_k(k=2)", ("multiclass",)): of_probabilities(sk.top_k_accuracy_score, k=2),
    ("f1", ("binary",)): averaged(sk.f1_score, "binary"),
    ("precision", ("binary",)): averaged(sk.precision_score, "binary"),
    ("recall", ("binary",)): averaged(sk.recall_score, "binary"),
    **{
        (f"{name}_{average}", ("binary", "multiclass", "multilabel")): averaged(function, average)
        for name, function in (
            ("f1", sk.f1_score),
            ("precision", sk.precision_score),
            ("recall", sk.recall_score),
        )
        for average in ("macro", "micro", "weighted")
    },
    ("roc_auc", ("binary", "multilabel")): of_probabilities(sk.roc_auc_score),
    ("roc_auc", ("multiclass",)): of_probabilities(sk.roc_auc_score, multi_class="ovr"),
    ("average_precision", ("binary", "multiclass", "multilabel")): of_probabilities(
        sk.average_precision_score
    ),
    ("log_loss", ("binary", "multiclass")): of_probabilities(sk.log_loss),
    ("brier", ("binary", "multiclass")): of_probabilities(sk.brier_score_loss),
    ("mae", ("regression", "several targets")): of_probabilities(sk.mean_absolute_error),
    ("mse", ("regression", "several targets")): of_probabilities(sk.mean_squared_error),
    ("rmse", ("regression", "several targets")): of_probabilities(sk.root_mean_squared_error),
    ("r2", ("regression", "several targets")): of_probabilities(sk.r2_score),
    ("mape", ("regression", "several targets")): of_probabilities(
        sk.mean_absolute_percentage_error
    ),
    ("pinball(quantile=0.9)", ("regression", "several targets")): of_probabilities(
        sk.mean_pinball_loss, alpha=0.9
    ),
}
CASES = [(name, kind, by) for (name, kinds), by in BY_SKLEARN.items() for kind in kinds]


def predictions(kind: str, weights: Any = None) -> Predictions:
    truth, output = DATA[kind]
    name: Any = "regression" if kind == "several targets" else kind
    return Predictions(truth, {"trial": output}, name, weights=weights)


@pytest.mark.parametrize(("name", "kind", "by_sklearn"), CASES, ids=lambda v: str(v)[:24])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
def test_a_value_equals_that_of_scikit_learn(
    name: str, kind: str, by_sklearn: Any, weights: Any
) -> None:
    metric = make_metric(name)
    value = score(metric, predictions(kind, weights), DATA[kind][1])
    expected = by_sklearn(*DATA[kind], kind, sample_weight=weights)
    assert value == pytest.approx(expected, abs=1e-12, rel=1e-12)


def test_every_metric_of_the_catalogue_is_compared() -> None:
    compared = {name.partition("(")[0] for name, _ in BY_SKLEARN}
    by_formula = {"smape", "mase", "roc_auc_ovo"}
    of_scores = {"mean_score", "mean_cost"}  # see test_given.py
    assert compared | by_formula | of_scores == set(METRICS)


def test_one_against_one_equals_that_of_scikit_learn() -> None:
    metric = make_metric("roc_auc_ovo")
    assert metric.resampled is not None
    rows = np.random.default_rng(1).integers(ROWS, size=ROWS)
    counts = np.bincount(rows, minlength=ROWS).astype(float)[None]
    slow = sk.roc_auc_score(CLASSES[rows], SHARES[rows], multi_class="ovo")
    assert metric.resampled(CLASSES, SHARES, counts) == pytest.approx([slow], abs=1e-12)
    expected = sk.roc_auc_score(CLASSES, SHARES, multi_class="ovo")
    assert score(metric, predictions("multiclass"), SHARES) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="no weights"):
        score(metric, predictions("multiclass", WEIGHTS), SHARES)


@pytest.mark.parametrize("name", ["log_loss", "brier"])
def test_several_labels_are_averaged(name: str) -> None:
    by_label = {"log_loss": sk.log_loss, "brier": sk.brier_score_loss}[name]
    expected = np.mean([by_label(LABELS[:, i], LABEL_SHARES[:, i]) for i in range(3)])
    value = score(make_metric(name), predictions("multilabel"), LABEL_SHARES)
    assert value == pytest.approx(expected, abs=1e-12)


def test_smape_follows_its_formula() -> None:
    truth, forecast = np.array([100.0, 0.0, -2.0, 4.0]), np.array([110.0, 0.0, 2.0, 2.0])
    made = Predictions(truth, {}, "regression")
    expected = np.mean([20 / 210, 0.0, 8 / 4, 4 / 6])
    assert score(make_metric("smape"), made, forecast) == pytest.approx(expected, abs=1e-12)


def test_mase_is_relative_to_the_naive_forecast_of_the_training_targets() -> None:
    metric = make_metric("mase(period=2)")
    training = np.array([1.0, 5.0, 2.0, 7.0, 4.0])  # |2-1|, |7-5|, |4-2| have the mean 5/3
    scales = scales_of([metric], training)
    assert scales == {"mase(period=2)": pytest.approx(5 / 3)}
    made = Predictions(np.array([1.0, 2.0]), {}, "regression", scales=scales)
    assert score(metric, made, np.array([2.0, 4.0])) == pytest.approx(1.5 / (5 / 3))
    with pytest.raises(ValueError, match="more than 2 training rows"):
        scales_of([metric], training[:2])
    with pytest.raises(ValueError, match="all are equal"):
        scales_of([metric], np.ones(9))


@pytest.mark.parametrize(("name", "kind", "by_sklearn"), CASES, ids=lambda v: str(v)[:24])
def test_the_scores_of_examples_have_the_value_as_their_mean(
    name: str, kind: str, by_sklearn: Any
) -> None:
    metric, made = make_metric(name), predictions(kind, WEIGHTS)
    by_example = example_scores(metric, made, ["trial"])
    if by_example is not None:
        mean = np.average(by_example[0], weights=WEIGHTS)
        assert mean == pytest.approx(score(metric, made, DATA[kind][1]), abs=1e-12)


@pytest.mark.parametrize(("name", "kind", "by_sklearn"), CASES, ids=lambda v: str(v)[:24])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
def test_quick_values_of_samples_equal_the_slow_ones(
    name: str, kind: str, by_sklearn: Any, weights: Any
) -> None:
    metric = make_metric(name)
    if metric.resampled is None:
        pytest.skip("a mean over examples is not resampled, or it has no quick way")
    truth, output = DATA[kind]
    counts = np.random.default_rng(3).poisson(1.0, (4, ROWS)).astype(float)
    own = counts if weights is None else counts * weights
    quick = metric.resampled(truth, output, own)
    slow = []
    for row in counts:
        chosen = np.repeat(np.arange(ROWS), row.astype(int))
        part = None if weights is None else weights[chosen]
        slow.append(metric.compute(truth[chosen], output[chosen], part))
    assert quick == pytest.approx(slow, abs=1e-10)


def test_sequences_are_judged_step_by_step_and_resampled_as_a_whole() -> None:
    truth, output = BINARY[:390], PROBABILITY[:390]
    made = Predictions(truth, {"trial": output}, "binary", steps=10)
    metric = make_metric("accuracy")
    by_example = example_scores(metric, made, ["trial"])
    assert by_example is not None
    assert by_example.shape == (1, 39)
    assert by_example.mean() == pytest.approx(score(metric, made, output))
    # Whole sequences are drawn, so errors that come in sequences widen the spread.
    together = np.repeat(np.arange(39) % 2 == 0, 10)
    extreme = Predictions(np.ones(390, int), {"trial": together * 0.9}, "binary", steps=10)
    alone = Predictions(np.ones(390, int), {"trial": together * 0.9}, "binary")
    recall = make_metric("recall")
    spread = [
        np.std(resampled_scores(recall, each, "trial", independent(each.examples)))
        for each in (extreme, alone)
    ]
    assert spread[0] > 2.5 * spread[1]


def test_predictions_that_are_not_finite_have_no_value() -> None:
    broken = PROBABILITY.copy()
    broken[3] = np.nan
    assert np.isnan(score(make_metric("accuracy"), predictions("binary"), broken))


def cost(truth: Any, prediction: Any, sample_weight: Any = None) -> float:
    return float(np.average(np.abs(truth - prediction) ** 3, weights=sample_weight))


def test_a_function_of_the_user_is_a_metric() -> None:
    metric = make_metric(f"{__name__}:cost", "minimize")
    assert (metric.key, metric.sign) == ("cost", -1)
    value = score(metric, predictions("regression", WEIGHTS), FORECAST)
    assert value == pytest.approx(cost(TARGET, FORECAST, WEIGHTS))
    given = predictions("regression")
    samples = resampled_scores(metric, given, "trial", independent(given.examples))
    assert np.std(samples) == pytest.approx(
        np.std(np.abs(TARGET - FORECAST) ** 3) / ROWS**0.5, rel=0.15
    )


@pytest.mark.parametrize(
    ("name", "direction", "message"),
    [
        ("acuracy", None, "there is no metric 'acuracy'; did you mean accuracy"),
        ("nothing", None, "There are accuracy, balanced_accuracy"),
        ("top_k(k=0)", None, "whole number from 1; got 0"),
        ("top_k(k=x)", None, "top_k: k must be a whole number; got 'x'"),
        ("top_k(n=3)", None, "top_k has only k; got 'n=3'"),
        ("rmse(k=3)", None, "rmse has no parameters"),
        ("pinball(quantile=1.5)", None, "between 0 and 1; got 1.5"),
        ("mase(period=0)", None, "whole number from 1; got 0"),
        ("rmse", "maximize", "rmse is to minimize"),
        ("my.module:cost", None, "direction must be said"),
    ],
)
def test_a_wrong_name_is_refused_with_the_cure(name: str, direction: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make_metric(name, direction)
    assert message in str(caught.value)


def test_parameters_may_be_left_out_or_written_without_their_name() -> None:
    names = {text: make_metric(text).name for text in ("top_k", "top_k(3)", "top_k( k = 3 )")}
    assert names == {
        "top_k": "top_k(k=5)",
        "top_k(3)": "top_k(k=3)",
        "top_k( k = 3 )": "top_k(k=3)",
    }


@pytest.mark.parametrize(
    ("name", "key"),
    [("top_k(k=5)", "top_k_5"), ("pinball(quantile=0.9)", "pinball_0.9"), ("rmse", "rmse")],
)
def test_the_name_in_mlflow_has_no_parentheses(name: str, key: str) -> None:
    assert make_metric(name).key == key


def test_two_metrics_of_one_name_in_mlflow_are_refused() -> None:
    same = [make_metric("a:cost", "minimize"), make_metric("b:cost", "minimize")]
    with pytest.raises(ValueError, match="a:cost and b:cost have the same name in MLflow"):
        check_keys(same)


@pytest.mark.parametrize(
    ("name", "value", "text", "gain", "gain_text"),
    [
        ("accuracy", 0.859, "85.90%", 0.0123, "+1.23"),
        ("rmse", 53.1234, "53.12", -1.5, "-1.500"),
        ("mse", 12345.6, "12346", 0.0, "+0"),
        ("r2", -0.01234567, "-0.01235", 0.00001234, "+1.234e-05"),
    ],
)
def test_values_are_written_in_their_unit(
    name: str, value: float, text: str, gain: float, gain_text: str
) -> None:
    metric: Metric = make_metric(name)
    assert metric.write(value) == text
    assert metric.write_gain(gain) == gain_text


def test_a_spread_has_two_digits_of_its_own() -> None:
    assert make_metric("accuracy").write_spread(0.00641) == "0.64"
    assert make_metric("rmse").write_spread(0.06409) == "0.064"
    assert make_metric("mse").write_spread(123.4) == "123"


def test_the_loss_of_several_quantiles_is_the_mean_of_each() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(50, 3))
    forecast = np.sort(random.normal(size=(50, 3, 2)), axis=2)
    metric = make_metric("pinball(quantiles=0.1-0.9)")
    assert (metric.quantiles, metric.key) == ((0.1, 0.9), "pinball_0.1-0.9")
    given = Predictions(truth, {"trial": forecast}, "regression", quantiles=metric.quantiles)
    expected = np.mean(
        [
            sk.mean_pinball_loss(truth, forecast[..., place], alpha=level)
            for place, level in enumerate(metric.quantiles)
        ]
    )
    assert score(metric, given, forecast) == pytest.approx(expected)
    by_example = example_scores(metric, given, ["trial"])
    assert by_example is not None and by_example.mean() == pytest.approx(expected)
    # Other metrics judge the quantile that is nearest to the median, here the first.
    mae = score(make_metric("mae"), given, forecast)
    assert mae == pytest.approx(np.abs(truth - forecast[..., 0]).mean())
    # A simple model has one number for all quantiles.
    same = np.repeat(truth[:, :, None] + 1, 2, axis=2)
    assert score(metric, given, truth + 1) == pytest.approx(score(metric, given, same))


@pytest.mark.parametrize("text", ["0.5", "0.9-0.1", "0-0.5", "0.5-1", "low-high", "0.1-0.1"])
def test_quantiles_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantiles must"):
        make_metric(f"pinball(quantiles={text})")
