"""The pictures of the report, drawn from the record."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tuning.compare.comparison import Comparison, ConfirmedArm
from tuning.compare.timeline import bars
from tuning.tracking.record import StudyRecord
from tuning.trial import Phase, TrialRecord, TrialState

# Okabe and Ito's palette, told apart by the colour-blind too; styles tell them apart in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", "-.", ":")


def draw_figures(record: StudyRecord, comparison: Comparison, folder: Path) -> dict[str, Path]:
    """Draws every figure for which the record has data.

    Args:
        record: The study.
        comparison: What it says.
        folder: Where the SVG files go.

    Returns:
        File by title, in the order of the report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures: list[tuple[str, str, Callable[[], Figure | None]]] = [
        ("Test accuracy by seed", "test_accuracy", lambda: _test_accuracy(comparison)),
        (
            "Validation accuracy by epoch",
            "validation_curves",
            lambda: _curves(record, comparison, record.study.objective.metric),
        ),
        ("Loss by epoch", "loss_curves", lambda: _losses(record, comparison)),
        ("Best so far by trial", "best_so_far", lambda: _best_so_far(record)),
        ("Importance of hyperparameters", "importance", lambda: _importance(comparison)),
        ("Workers over time", "timeline", lambda: _timeline(record)),
    ]
    drawn: dict[str, Path] = {}
    for title, name, draw in figures:
        figure = draw()
        if figure is not None:
            drawn[title] = folder / f"{name}.svg"
            figure.savefig(drawn[title], metadata={"Date": None})
    return drawn


def _figure(width: float = 7.2, height: float = 4.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _shown(comparison: Comparison) -> list[ConfirmedArm]:
    best = [comparison.best] if comparison.best else []
    return [comparison.baseline, *best, *comparison.references]


def _title(arm: ConfirmedArm) -> str:
    return f"best ({arm.label})" if arm.role == "candidate" else arm.label


def _test_accuracy(comparison: Comparison) -> Figure | None:
    arms = [arm for arm in _shown(comparison) if arm.test_accuracy]
    if not arms:
        return None
    figure, axes = _figure(height=1.2 + 0.6 * len(arms))
    for row, arm in enumerate(arms):
        values = 100 * np.array(arm.test_accuracy)
        colour = COLOURS[row % len(COLOURS)]
        axes.plot(values, [row] * len(values), "o", color=colour, alpha=0.7)
        axes.plot([values.mean()], [row], "|", color=colour, markersize=22, markeredgewidth=3)
    axes.set_yticks(range(len(arms)), [_title(arm) for arm in arms])
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.set_xlabel("test accuracy (%); dots are seeds, bars their mean")
    return figure


def _curves(record: StudyRecord, comparison: Comparison, metric: str) -> Figure | None:
    figure, axes = _figure()
    _draw_bands(axes, record, _shown(comparison), metric, STYLES)
    axes.set_xlabel("epoch")
    axes.set_ylabel(metric.replace("_", " "))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(title="mean and range over seeds")
    return figure


def _losses(record: StudyRecord, comparison: Comparison) -> Figure | None:
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    panels: Any = figure.subplots(1, 2, sharey=True)
    for axes, metric, title in zip(
        panels, ("loss", "val_loss"), ("training", "validation"), strict=True
    ):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        _draw_bands(axes, record, _shown(comparison), metric, STYLES)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel("loss")
    panels[1].legend()
    return figure


def _draw_bands(
    axes: Axes,
    record: StudyRecord,
    arms: Sequence[ConfirmedArm],
    metric: str,
    styles: Sequence[str],
) -> None:
    by_name = {trial.trial.name: trial for trial in record.trials}
    for index, arm in enumerate(arms):
        curves = [_curve(by_name[name], metric) for name in arm.trials]
        epochs = min(len(curve) for curve in curves)
        if not epochs:
            continue
        values = np.array([curve[:epochs] for curve in curves])
        steps = np.arange(1, epochs + 1)
        colour, style = COLOURS[index % len(COLOURS)], styles[index % len(styles)]
        axes.plot(steps, values.mean(axis=0), style, color=colour, marker="o", label=_title(arm))
        axes.fill_between(
            steps, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, linewidth=0
        )


def _curve(trial: TrialRecord, metric: str) -> list[float]:
    return [m.metrics[metric] for m in trial.result.measurements if metric in m.metrics]


def _best_so_far(record: StudyRecord) -> Figure | None:
    search = record.in_phase(Phase.SEARCH)
    searchers = list(dict.fromkeys(trial.trial.searcher for trial in search))
    if not searchers:
        return None
    figure, axes = _figure()
    objective = record.study.objective
    for index, searcher in enumerate(searchers):
        own = [trial for trial in search if trial.trial.searcher == searcher]
        own.sort(key=lambda trial: trial.trial.number)
        best: float | None = None
        curve: list[tuple[int, float]] = []
        for number, trial in enumerate(own, start=1):
            value = trial.result.value if trial.result.state is TrialState.COMPLETED else None
            if value is not None and objective.better(value, best):
                best = value
            if best is not None:
                curve.append((number, best))
        values = [(n, t.result.value) for n, t in enumerate(own, 1) if t.result.value is not None]
        colour = COLOURS[index % len(COLOURS)]
        if curve:
            axes.step(*zip(*curve, strict=True), where="post", color=colour, label=searcher)
            marker = "osD^v"[index % 5]
            axes.plot(*zip(*values, strict=True), marker, color=colour, alpha=0.45, markersize=5)
    baseline = [t.result.value for t in record.in_phase(Phase.BASELINE) if t.result.value]
    if baseline:
        mean = float(np.mean(baseline))
        axes.axhline(mean, color="0.4", linestyle=":", label="baseline, mean over seeds")
    axes.set_xlabel("trial of the searcher")
    axes.set_ylabel(objective.metric.replace("_", " "))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure


def _importance(comparison: Comparison) -> Figure | None:
    known = [
        (effect.name, effect.importance)
        for effect in comparison.effects.values()
        if effect.importance is not None
    ]
    if not known:
        return None
    known.sort(key=lambda pair: pair[1])
    figure, axes = _figure(height=1.0 + 0.45 * len(known))
    labels, values = zip(*known, strict=True)
    axes.barh(labels, [100 * value for value in values], color=COLOURS[0])
    axes.set_xlabel("share of the explained variance (%), PED-ANOVA; indicative")
    return figure


def _timeline(record: StudyRecord) -> Figure | None:
    found = bars(record)
    if not found:
        return None
    workers = sorted({bar.worker for bar in found})
    figure, axes = _figure(width=9.6, height=1.4 + 0.4 * len(workers))
    for phase, colour in zip(Phase, COLOURS, strict=False):
        for row, worker in enumerate(workers):
            own = [bar for bar in found if bar.phase is phase and bar.worker == worker]
            spans = [(bar.begin_s / 60, (bar.end_s - bar.begin_s) / 60) for bar in own]
            axes.broken_barh(
                spans,
                (row - 0.35, 0.7),
                facecolor=colour,
                edgecolor="white",
                label=phase.value if row == 0 else None,
            )
    axes.set_yticks(range(len(workers)), workers)
    axes.set_ylim(len(workers) - 0.5, -0.5)
    axes.set_xlim(0, None)
    axes.set_xlabel("minutes since the study began")
    axes.legend(ncols=len(Phase), loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    return figure
