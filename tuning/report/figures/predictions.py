"""Figures of the predictions on the test split, for the models of the first seed."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tuning.core.record import Predictions
from tuning.evaluation.comparison import Comparison
from tuning.evaluation.configurations import Configuration
from tuning.evaluation.error_analysis import class_names
from tuning.evaluation.statistics import calibration
from tuning.metrics.classification import predicted_classes
from tuning.report.figures.style import dots, lines, one_panel, panels, shown, title
from tuning.study.record import StudyRecord

# Counts are written into the cells of a confusion matrix up to this number of classes.
MAX_WRITTEN = 12
MAX_POINTS = 3_000
MAX_BLOCKS = 40


def _tested(
    record: StudyRecord, comparison: Comparison, *kinds: str
) -> tuple[Predictions, list[Configuration]] | None:
    """Returns the predictions and the configurations to draw, or None if there are none."""
    predictions = record.predictions
    configs = [config for config in shown(comparison) if config.test]
    if predictions is None or predictions.kind not in kinds or not configs:
        return None
    return predictions, configs


def confusion(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the confusion matrix of each configuration's model."""
    tested = _tested(record, comparison, "binary", "multiclass")
    if tested is None:
        return None
    predictions, configs = tested
    is_binary = predictions.kind == "binary"
    first = predictions.outputs[configs[0].trials[0]]
    count = 2 if is_binary else first.shape[1]
    names = class_names(predictions, count)
    figure, every = panels(len(configs), height=3.4)
    for axes, config in zip(every, configs, strict=True):
        guess = predicted_classes(predictions.outputs[config.trials[0]], multiclass=not is_binary)
        counts = np.zeros((count, count), dtype=int)
        np.add.at(counts, (predictions.truth, guess), 1)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.grid(visible=False)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        if count <= MAX_WRITTEN:
            for (row, column), number in np.ndenumerate(counts):
                share = f"\n{shares[row, column]:.1%}" if count <= 3 else ""
                axes.text(
                    column,
                    row,
                    f"{number:,}{share}",
                    ha="center",
                    va="center",
                    fontsize="small" if count > 3 else "medium",
                    color="white" if shares[row, column] > 0.5 else "black",
                )
            axes.set_xticks(range(count), names, rotation=0 if count <= 3 else 90)
            axes.set_yticks(range(count), names)
        axes.set_xlabel("predicted")
        axes.set_title(title(config), fontsize="medium")
    every[0].set_ylabel("true")
    return figure


def reliability(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws predicted probabilities against observed shares.

    Of a binary classifier it is the probability of class 1. Of several classes it is that of the
    predicted class, and the share of right predictions.
    """
    tested = _tested(record, comparison, "binary", "multiclass")
    if tested is None:
        return None
    predictions, configs = tested
    is_binary = predictions.kind == "binary"
    figure, axes = one_panel(width=5.4, height=4.6)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    for index, config in enumerate(configs):
        output = predictions.outputs[config.trials[0]].astype(float)
        probability = output if is_binary else output.max(axis=1)
        happened = predictions.truth == (1 if is_binary else output.argmax(axis=1))
        predicted, observed, _, error = calibration(happened, probability)
        axes.plot(
            predicted,
            observed,
            **dots(index) | lines(index),
            label=f"{title(config)}: calibration error {100 * error:.1f} points",
        )
    name = class_names(predictions, 2)[1] if is_binary else "the predicted class"
    axes.set_xlabel(f"predicted probability of {name}")
    axes.set_ylabel("observed share")
    axes.legend(fontsize="small")
    return figure


def predicted_and_true(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the predicted against the true numbers of each configuration's model."""
    tested = _tested(record, comparison, "regression")
    if tested is None:
        return None
    predictions, configs = tested
    figure, every = panels(len(configs), height=3.6)
    truth = predictions.truth.reshape(len(predictions.truth), -1)
    chosen = _evenly(truth.size)
    low, high = truth.min(), truth.max()
    correlations = []
    for index, (axes, config) in enumerate(zip(every, configs, strict=True)):
        output = _points(predictions, config).reshape(truth.shape)
        axes.plot([low, high], [low, high], color="0.6", linewidth=1)
        axes.plot(
            truth.ravel()[chosen], output.ravel()[chosen], **dots(index), markersize=3, alpha=0.4
        )
        axes.set_xlabel("true")
        axes.set_title(title(config), fontsize="medium")
        with np.errstate(invalid="ignore"):  # of a model that predicts one number
            correlation = np.corrcoef(truth.ravel(), output.ravel())[0, 1]
        correlations.append(f"{title(config)} {correlation:.3f}")
    every[0].set_ylabel("predicted")
    figure.set_label(f"Correlation of predicted and true numbers: {', '.join(correlations)}.")
    return figure


def residuals(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws how the errors, predicted minus true, are spread."""
    tested = _tested(record, comparison, "regression")
    if tested is None:
        return None
    predictions, configs = tested
    figure, axes = one_panel()
    errors = [_points(predictions, config) - predictions.truth for config in configs]
    low, high = np.nanquantile(np.concatenate([each.ravel() for each in errors]), [0.005, 0.995])
    edges = np.linspace(low, high if high > low else low + 1, 41)
    for index, (config, error) in enumerate(zip(configs, errors, strict=True)):
        heights, _ = np.histogram(error.ravel(), edges)
        axes.stairs(heights / error.size, edges, label=title(config), **_outline(index))
    axes.axvline(0, color="0.4", linewidth=1)
    axes.set_xlabel("predicted − true; the middle 99% of the test rows")
    axes.set_ylabel("share of the test rows")
    axes.legend()
    spreads = []
    for config, error in zip(configs, errors, strict=True):
        cuts = np.nanquantile(error, [0.05, 0.5, 0.95])
        words = ", ".join(f"{value:.4g}" for value in cuts)
        spreads.append(f"{title(config)} {words}")
    figure.set_label(f"Quantiles 0.05, 0.5 and 0.95 of the errors: {'; '.join(spreads)}.")
    return figure


def errors_over_time(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the mean absolute error over the time of the examples, in blocks of equal size."""
    tested = _tested(record, comparison, "regression")
    if tested is None:
        return None
    predictions, configs = tested
    times = predictions.times
    if times is None:
        return None
    blocks = np.array_split(np.argsort(times, kind="stable"), min(MAX_BLOCKS, len(times)))
    starts = [times[block[0]] for block in blocks]
    figure, axes = one_panel(width=9.6)
    for index, config in enumerate(configs):
        errors = np.abs(_points(predictions, config) - predictions.truth)
        by_example = errors.reshape(len(times), -1).mean(axis=1)
        means = [by_example[block].mean() for block in blocks]
        axes.step(starts, means, where="post", **lines(index), label=title(config))
    axes.set_xlabel("time of the test rows")
    axes.set_ylabel("mean absolute error")
    axes.legend()
    return figure


def _points(predictions: Predictions, config: Configuration) -> "np.ndarray":
    """Returns the numbers that the first model of a configuration predicts."""
    return predictions.points(predictions.outputs[config.trials[0]])


def _outline(index: int) -> dict[str, Any]:
    look = lines(index)
    return {"color": look["color"], "linestyle": look["linestyle"], "linewidth": 1.6}


def _evenly(count: int) -> "np.ndarray":
    """Returns at most ``MAX_POINTS`` positions, so that a figure of many rows stays small."""
    return np.unique(np.linspace(0, count - 1, min(count, MAX_POINTS)).astype(int))
