"""Writes the curves of one trial as a table and as a picture."""

import csv
from collections.abc import Sequence
from pathlib import Path

from tuning.core.trial import Measurement


def write_history(measurements: Sequence[Measurement], file: Path) -> None:
    """Writes a CSV table with a row per epoch and a column per metric."""
    names = list(dict.fromkeys(name for m in measurements for name in m.metrics))
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["epoch", *names])
        writer.writeheader()
        writer.writerows({"epoch": m.step, **m.metrics} for m in measurements)


def draw_curves(
    title: str, measurements: Sequence[Measurement], best_step: int | None, file: Path
) -> None:
    """Draws each metric of training together with the same metric of validation."""
    # pyplot has global state and is not thread-safe.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = {name for m in measurements for name in m.metrics}
    pairs = sorted(name for name in names if f"val_{name}" in names)
    width = 4.8 * max(1, len(pairs))
    figure = Figure(figsize=(width, 3.6))
    figure.suptitle(title)
    axes = figure.subplots(1, max(1, len(pairs)), squeeze=False)[0]
    # Fixed margins: a layout engine would draw every figure twice.
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
