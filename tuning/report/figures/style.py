"""What all pictures share: colours, axes, who is shown and how they are called."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tuning.evaluation.comparison import Comparison
from tuning.evaluation.configurations import Configuration

# Okabe and Ito's palette, told apart by the colour-blind too; styles tell them apart in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", "-.", ":")
MARKERS = "osD^vP"


def one_panel(width: float = 7.2, height: float = 4.0) -> tuple[Figure, Axes]:
    """A figure with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    prepare(axes)
    return figure, axes


def panels(
    count: int, columns: int = 3, width: float = 9.6, height: float = 3.0, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with several pairs of axes; ``height`` is that of a row."""
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
    """A light grid and no box."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def shown(comparison: Comparison) -> list[Configuration]:
    """Baseline, best and references, in the order of their colours."""
    best = [comparison.best] if comparison.best else []
    return [comparison.baseline, *best, *comparison.references]


def title(config: Configuration) -> str:
    """What an configuration is called in pictures."""
    return f"best ({config.label})" if config.role == "candidate" else config.label


def words(name: str) -> str:
    """A metric's or hyperparameter's name as words."""
    return name.replace("_", " ")


def distinct(values: Iterable[str]) -> list[str]:
    """Each value once, in the order of their first appearance."""
    return list(dict.fromkeys(values))
