"""Figures of the confirmed models: test metric, learning curves and costs."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tuning.core.trial import TrialRecord
from tuning.evaluation.comparison import Comparison, lengthened
from tuning.evaluation.configurations import Configuration
from tuning.metrics.metric import Metric
from tuning.metrics.scoring import example_scores
from tuning.report.figures.style import (
    dots,
    lines,
    one_panel,
    panels,
    shown,
    test_label,
    title,
    words,
)
from tuning.study.record import StudyRecord

LENGTH_BINS = 5


def test_metric(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the test metric of every seed of every configuration."""
    configs = [config for config in shown(comparison) if config.test]
    if not configs:
        return None
    metric = record.study.compare.deciding
    figure, axes = one_panel(height=1.2 + 0.6 * len(configs))
    for row, config in enumerate(configs):
        values = scaled(metric, config.test)
        colour = lines(row)["color"]
        axes.plot(values, [row] * len(values), "o", color=colour, alpha=0.7)
        axes.plot([values.mean()], [row], "|", color=colour, markersize=22, markeredgewidth=3)
    axes.set_yticks(range(len(configs)), [title(config) for config in configs])
    label = f"{test_label(metric)}; dots: seeds, bars: mean over seeds"
    axes.set(ylim=(len(configs) - 0.5, -0.5), xlabel=label)
    return figure


def scaled(metric: Metric, values: Sequence[float]) -> "np.ndarray":
    """Returns values of a metric as they are drawn: shares in percent."""
    return np.array(values) * (100 if metric.is_share else 1)


def validation_curves(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the objective by epoch: the mean and the range over seeds."""
    metric = record.study.objective.metric
    figure, axes = one_panel()
    for index, config in enumerate(shown(comparison)):
        _band(axes, index, config, _curves(record, config, metric))
    _epochs(axes)
    axes.set_ylabel(words(metric))
    if not axes.lines:
        return None
    axes.legend(title="mean and range over seeds")
    return figure


def long_run_curves(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws baseline and references trained for more epochs, on validation and on the test split.

    Only the model of the best epoch of a training predicts the test split. So each training is one
    point there: trainings of the study's usual length, and longer trainings.
    """
    if not comparison.long_runs:
        return None
    metric, deciding = record.study.objective.metric, record.study.compare.deciding
    figure, (curves, tests) = panels(2, columns=2, height=4.0)
    for index, configs in enumerate(lengthened(record.study, comparison)):
        long = configs[-1][0]
        _band(curves, index, long, _curves(record, long, metric))
        for config, max_epochs in configs:
            if config.test:
                tests.plot(
                    config.best_steps,
                    scaled(deciding, config.test),
                    **dots(index),
                    fillstyle="full" if config is long else "none",
                    label=f"{title(config)}, at most {max_epochs} epochs",
                )
    for axes in (curves, tests):
        limit = record.study.budget.epochs
        axes.axvline(limit, color="0.5", linestyle=":", label="maximum epochs of the study")
        _epochs(axes)
        axes.legend()
    curves.set(ylabel=words(metric), title="validation, mean and range over seeds")
    tests.set(xlim=curves.get_xlim(), ylabel=test_label(deciding), title="test split, every seed")
    tests.set_xlabel("best epoch on validation")
    return figure


def loss_curves(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws training and validation loss by epoch, side by side."""
    figure, every = panels(2, columns=2, height=3.8, sharey=True)
    for axes, metric in zip(every, ("loss", "val_loss"), strict=True):
        for index, config in enumerate(shown(comparison)):
            _band(axes, index, config, _curves(record, config, metric))
        axes.set_title("training" if metric == "loss" else "validation")
        _epochs(axes)
    if not any(axes.lines for axes in every):
        return None  # a study that does not train with Keras
    every[0].set_ylabel("loss")
    every[1].legend()
    return figure


def generalisation_gap(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws how much better the objective is on the training rows; a large gap is overfitting."""
    objective = record.study.objective
    on_training = objective.metric.removeprefix("val_")
    figure, axes = one_panel()
    drawn = False
    for index, config in enumerate(shown(comparison)):
        pairs = zip(
            _curves(record, config, on_training),
            _curves(record, config, objective.metric),
            strict=True,
        )
        gaps = [
            [objective.sign * (train - held_out) for train, held_out in zip(*pair, strict=False)]
            for pair in pairs
        ]
        drawn |= any(gaps)
        _band(axes, index, config, gaps)
    if not drawn:
        return None
    axes.axhline(0, color="0.4", linewidth=1)
    _epochs(axes)
    axes.set_ylabel(f"{words(on_training)}: training better by")
    axes.legend(title="mean and range over seeds")
    return figure


def by_length(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the test metric by length of the input in groups of equal size, mean over seeds."""
    predictions, metric = record.predictions, record.study.compare.deciding
    if predictions is None or predictions.lengths is None or metric.per_row is None:
        return None
    configs = [config for config in shown(comparison) if config.test]
    edges = np.unique(np.quantile(predictions.lengths, np.linspace(0, 1, LENGTH_BINS + 1)))
    if len(edges) < 3 or not configs:
        return None
    group = np.clip(
        np.searchsorted(edges, predictions.lengths, side="right") - 1, 0, len(edges) - 2
    )
    figure, axes = one_panel()
    places = range(len(edges) - 1)
    for index, config in enumerate(configs):
        scores = example_scores(metric, predictions, config.trials)
        assert scores is not None
        by_example = scores.mean(axis=0)
        values = scaled(metric, [by_example[group == place].mean() for place in places])
        axes.plot(places, values, **dots(index) | lines(index), label=title(config))
    names = [f"{low:.0f}–{high:.0f}" for low, high in pairwise(edges)]
    axes.set_xticks(range(len(names)), names)
    axes.set(xlabel="length of the input; groups of equal size", ylabel=test_label(metric))
    axes.legend()
    return figure


def cost(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the test metric against parameters and training time, with the Pareto front."""
    first = shown(comparison)
    others = [config for config in comparison.candidates if config not in first]
    configs = [config for config in (*first, *others) if config.test]
    if len(configs) < 2:
        return None
    metric = record.study.compare.deciding
    figure, every = panels(2, columns=2, height=3.8, sharey=True)
    prices_by_label = {
        "parameters (thousands)": [config.parameter_count / 1000 for config in configs],
        "training time (s)": [config.train_seconds for config in configs],
    }
    for axes, (label, prices) in zip(every, prices_by_label.items(), strict=True):
        values = scaled(metric, [config.mean_test for config in configs])
        points = list(zip(prices, map(float, values), strict=True))
        for index, (config, point) in enumerate(zip(configs, points, strict=True)):
            axes.plot(*point, **dots(index), markersize=8, label=title(config))
        front = pareto(points, metric.sign)
        axes.plot(*zip(*front, strict=True), color="0.5", linewidth=1, zorder=0)
        axes.set_xlabel(label)
    every[0].set_ylabel(f"{test_label(metric)}, mean over seeds")
    every[1].legend(fontsize="small")
    return figure


def pareto(points: Sequence[tuple[float, float]], sign: int = 1) -> list[tuple[float, float]]:
    """Returns the points (price, quality) that no other point beats in both, sorted by price.

    Args:
        points: Pairs of price and quality.
        sign: 1 if a larger quality is better, otherwise -1.
    """
    front: list[tuple[float, float]] = []
    for price, quality in sorted(points, key=lambda point: (point[0], -sign * point[1])):
        if not front or sign * quality > sign * front[-1][1]:
            front.append((price, quality))
    return front


def _curves(record: StudyRecord, config: Configuration, metric: str) -> list[list[float]]:
    by_name = {trial.trial.name: trial for trial in record.trials}
    return [_curve(by_name[name], metric) for name in config.trials]


def _curve(trial: TrialRecord, metric: str) -> list[float]:
    return [m.metrics[metric] for m in trial.result.measurements if metric in m.metrics]


def _band(
    axes: Axes, index: int, config: Configuration, curves: Sequence[Sequence[float]]
) -> None:
    epochs = min((len(curve) for curve in curves), default=0)
    if not epochs:
        return
    values = np.array([curve[:epochs] for curve in curves])
    steps = np.arange(1, epochs + 1)
    look = lines(index)
    axes.plot(steps, values.mean(axis=0), **look, marker="o", label=title(config))
    low, high = values.min(axis=0), values.max(axis=0)
    axes.fill_between(steps, low, high, color=look["color"], alpha=0.15, linewidth=0)


def _epochs(axes: Axes) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
