"""The curves of one trial as a picture and as a table."""

import csv
from collections.abc import Sequence
from pathlib import Path

from tuning.core.trial import Measurement


def write_history(measurements: Sequence[Measurement], file: Path) -> None:
    """Writes a table: a row for each epoch, a column for each metric."""
    names = list(dict.fromkeys(name for m in measurements for name in m.metrics))
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["epoch", *names])
        for measurement in measurements:
            row = [measurement.metrics.get(name, "") for name in names]
            writer.writerow([measurement.step, *row])


def draw_curves(
    title: str, measurements: Sequence[Measurement], best_step: int | None, file: Path
) -> None:
    """Draws every metric that has a validation counterpart, training and validation together."""
    # Not pyplot: its global state does not bear threads.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    known = {name for m in measurements for name in m.metrics}
    pairs = sorted(name for name in known if f"val_{name}" in known)
    width = 4.8 * max(1, len(pairs))
    figure = Figure(figsize=(width, 3.6))
    figure.suptitle(title)
    axes = figure.subplots(1, max(1, len(pairs)), squeeze=False)[0]
    # By hand, for a layout engine would draw everything twice, for every trial.
    figure.subplots_adjust(0.7 / width, 0.14, 1 - 0.15 / width, 0.9, wspace=0.22)
    for axis, name in zip(axes, pairs, strict=False):
        for metric, label, style in ((name, "training", "--"), (f"val_{name}", "validation", "-")):
            points = [(m.step, m.metrics[metric]) for m in measurements if metric in m.metrics]
            steps, values = zip(*points, strict=True)
            axis.plot(steps, values, style, marker="o", markersize=3, label=label)
        if best_step is not None:
            axis.axvline(best_step, color="0.6", linewidth=1, label="best epoch")
        axis.set_xlabel("epoch")
        axis.set_ylabel(name.replace("_", " "))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
        axis.legend(loc="best")
    figure.savefig(file, dpi=100)
