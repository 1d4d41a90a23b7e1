"""Figures of forecasts on the test split: over time, by step, by clock, and what is left."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tuning.core.record import Predictions
from tuning.evaluation.comparison import Comparison
from tuning.evaluation.configurations import Configuration
from tuning.evaluation.forecasts import (
    autocorrelation,
    errors_by_clock,
    errors_by_step,
    quantile_coverage,
)
from tuning.report.figures.style import dots, lines, one_panel, shown, title
from tuning.study.record import StudyRecord

SHOWN_TIMES = 200
LAGS = 40


def _tested(
    record: StudyRecord, comparison: Comparison
) -> tuple[Predictions, list[Configuration]] | None:
    """Returns the predictions and the configurations to draw, or None if rows have no times."""
    predictions = record.predictions
    configs = [config for config in shown(comparison) if config.test]
    if predictions is None or predictions.times is None or not configs:
        return None
    return (predictions, configs) if predictions.kind == "regression" else None


def forecast_and_truth(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the latest times: the truth, and the forecast of the first step and series."""
    tested = _tested(record, comparison)
    if tested is None:
        return None
    predictions, configs = tested
    assert predictions.times is not None
    _, first = np.unique(predictions.times, return_index=True)  # one row per time
    rows = first[-SHOWN_TIMES:]
    times = predictions.times[rows]
    figure, axes = one_panel(width=9.6)
    truth = predictions.truth.reshape(len(predictions.truth), -1)[rows, 0]
    axes.plot(times, truth, color="0.2", linewidth=1.4, label="truth")
    for index, config in enumerate(configs):
        output = predictions.outputs[config.trials[0]]
        points = predictions.points(output).reshape(len(output), -1)[rows, 0]
        axes.plot(times, points, **lines(index), linewidth=1.1, label=title(config))
        if predictions.quantiles and config.role == "candidate":
            band = output[rows, 0]
            label = f"{predictions.quantiles[0]:g} to {predictions.quantiles[-1]:g} quantile"
            axes.fill_between(
                times, band[:, 0], band[:, -1], color=lines(index)["color"], alpha=0.2, label=label
            )
    axes.set_xlabel("time")
    axes.set_ylabel(predictions.classes[0] if predictions.classes else "target")
    axes.legend(ncols=3, fontsize="small")
    figure.autofmt_xdate()
    return figure


def error_by_step(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the mean absolute error over the steps of the horizon, as a mean over the seeds."""
    tested = _tested(record, comparison)
    if tested is None:
        return None
    curves = {}
    for config in tested[1]:
        errors = errors_by_step(tested[0], config.trials)
        if errors is None:
            return None
        curves[title(config)] = np.arange(1, len(errors) + 1), errors
    return _errors(curves, "step of the forecast")


def error_by_clock(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the mean absolute error by hour of the day, or by day of the week."""
    tested = _tested(record, comparison)
    if tested is None:
        return None
    curves, name = {}, ""
    for config in tested[1]:
        found = errors_by_clock(tested[0], config.trials)
        if found is None:
            return None
        name, *curves[title(config)] = found
    return _errors(curves, name)


def _errors(curves: Mapping[str, Sequence[Any]], label: str) -> Figure:
    """Draws mean absolute errors from zero on: places and errors by name of a configuration."""
    figure, axes = one_panel()
    for index, (name, (places, errors)) in enumerate(curves.items()):
        axes.plot(places, errors, **lines(index), marker=".", label=name)
    axes.set_xlabel(label)
    axes.set_ylabel("mean absolute error")
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


def error_autocorrelation(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the autocorrelation of the errors of the first step; what is left could be learned."""
    tested = _tested(record, comparison)
    if tested is None:
        return None
    predictions, configs = tested
    assert predictions.times is not None
    count = len(np.unique(predictions.times))
    lags = min(LAGS, count // 4)
    if lags < 1:
        return None
    figure, axes = one_panel()
    limit = 1.96 / count**0.5  # of independent errors, in 19 of 20 lags
    axes.axhspan(-limit, limit, color="0.85")
    axes.axhline(0, color="0.4", linewidth=1)
    for index, config in enumerate(configs):
        found = autocorrelation(predictions, config.trials[0], lags)
        if found is not None:
            place = np.arange(1, lags + 1)
            axes.plot(place, found, **dots(index), markersize=3, label=title(config))
    axes.set_xlabel("lag in times; grey: what independent errors would show")
    axes.set_ylabel("autocorrelation of the errors")
    axes.legend()
    return figure


def quantiles(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the share of truths below each predicted quantile."""
    predictions = record.predictions
    configs = [config for config in shown(comparison) if config.test]
    if predictions is None or not predictions.quantiles or not configs:
        return None
    figure, axes = one_panel(width=5.4, height=4.6)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    for index, config in enumerate(configs):
        shares = quantile_coverage(predictions, config.trials)
        if shares is not None:
            look = dots(index) | lines(index)
            axes.plot(np.array(predictions.quantiles), shares, **look, label=title(config))
    axes.set_xlabel("predicted quantile")
    axes.set_ylabel("share of the truths at or below it")
    axes.legend()
    return figure
