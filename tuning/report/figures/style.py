"""The common style of all figures: colours, axes, shown configurations and their names."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tuning.evaluation.comparison import Comparison
from tuning.evaluation.configurations import Configuration
from tuning.metrics.metric import Metric

# The palette of Okabe and Ito, which colour-blind readers can distinguish. The line styles
# distinguish the curves in black and white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", "-.", ":")
MARKERS = "osD^vP"


def one_panel(width: float = 7.2, height: float = 4.0) -> tuple[Figure, Axes]:
    """Returns a figure with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    prepare(axes)
    return figure, axes


def panels(
    count: int, columns: int = 3, width: float = 9.6, height: float = 3.0, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """Returns a figure with several pairs of axes; ``height`` is the height of a row in inches."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=sharey)
    every: list[Axes] = list(grid.flat)
    for axes in every[count:]:
        axes.set_visible(False)
    for axes in every[:count]:
        prepare(axes)
    return figure, every[:count]


def prepare(axes: Axes) -> None:
    """Draws a light grid and removes the top and right spines."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def shown(comparison: Comparison) -> list[Configuration]:
    """Returns baseline, best and references, in the order of their colours."""
    best = [comparison.best] if comparison.best else []
    return [comparison.baseline, *best, *comparison.references]


def title(config: Configuration) -> str:
    """Returns the name of a configuration in figures."""
    return f"best ({config.label})" if config.role == "candidate" else config.label


def words(name: str) -> str:
    """Returns the name of a metric or a hyperparameter as words."""
    return name.replace("_", " ")


def test_name(metric: Metric) -> str:
    """Returns the name of a metric on the test split in words, without a function's module."""
    return f"test {words(metric.name.rpartition(':')[2])}"


def test_label(metric: Metric) -> str:
    """Returns the label of an axis with the test metric."""
    return f"{test_name(metric)}{' (%)' if metric.is_share else ''}"


def lines(index: int) -> dict[str, Any]:
    """Returns the colour and the style of a line, as arguments of ``plot``."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": STYLES[index % len(STYLES)]}


def dots(index: int) -> dict[str, Any]:
    """Returns the colour and the marker of dots without a line, as arguments of ``plot``."""
    marker = MARKERS[index % len(MARKERS)]
    return {"color": COLOURS[index % len(COLOURS)], "marker": marker, "linestyle": "None"}
