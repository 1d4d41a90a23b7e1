"""The content of a figure as text, for readers who do not see it."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

MAX_VALUES = 8  # written one by one
MAX_SERIES = 8  # of one pair of axes
MAX_CELLS = 16  # of a matrix


def text_alternative(title: str, figure: Figure) -> str:
    """Describes what a figure shows: its axes, and the values of each series.

    Args:
        title: Title of the figure.
        figure: The figure, as it was drawn.

    Returns:
        Sentences without line breaks. Long series are given by their first, last, lowest and
        highest value. A figure whose axes do not tell has its description as its label.
    """
    if label := str(figure.get_label()):
        return f"{title}. {label}"
    parts = [text for axes in figure.axes if axes.get_visible() if (text := _axes(axes))]
    return " ".join([f"{title}.", *parts])


def _axes(axes: Axes) -> str:
    head = [axes.get_title()]
    for name, label in (("Across", axes.get_xlabel()), ("Up", axes.get_ylabel())):
        head += [f"{name}: {label}"] if label else []
    series = [*_series(axes)]
    more = len(series) - MAX_SERIES
    shown = [*series[:MAX_SERIES], *([f"and {more} more"] if more > 0 else [])]
    text = ". ".join(filter(None, head))
    return " ".join(f"{part}." for part in (text, "; ".join(shown)) if part)


def _series(axes: Axes) -> Iterator[str]:
    rows = _names(axes)
    for line in axes.get_lines():
        x, y = map(_numbers, line.get_data(orig=False))
        known = np.isfinite(x) & np.isfinite(y)
        if (text := _line(line, x[known], y[known], rows)) is not None:
            yield text
    bars = [each for each in axes.containers if isinstance(each, BarContainer)]
    for bar in (bar for container in bars for bar in container.patches):
        name = rows.get(round(bar.get_y() + bar.get_height() / 2))
        if name:
            yield f"{name}: {_number(bar.get_width())}"
    for points in axes.collections:
        label, offsets = str(points.get_label()), np.asarray(points.get_offsets(), dtype=float)
        if len(offsets) > 1 and points.get_array() is None:
            low, high = offsets[:, 1].min(), offsets[:, 1].max()
            name = "" if label.startswith("_") else f"{label}: "
            yield f"{name}{len(offsets)} points between {_number(low)} and {_number(high)}"
    if axes.images:
        yield from _matrix(axes)


def _line(line: Line2D, x: "np.ndarray", y: "np.ndarray", rows: dict[int, str]) -> str | None:
    label = str(line.get_label())
    is_mark = line.get_marker() == "|"  # of a mean, beside the points
    if not len(y) or is_mark:
        return None
    if label.startswith("_"):
        # The points of a row, whose name is that of the axis.
        name = rows.get(int(y[0])) if len({*y}) == 1 else None
        return f"{name}: {_values(x)}" if name else None
    if line.get_linestyle() == "None" and len(y) > 1:
        return f"{label}: {len(y)} points between {_number(min(y))} and {_number(max(y))}"
    return f"{label}: {_values(y)}"


def _values(values: "np.ndarray") -> str:
    if len(values) <= MAX_VALUES:
        return ", ".join(map(_number, values))
    return (
        f"{len(values)} values from {_number(values[0])} to {_number(values[-1])}, "
        f"between {_number(min(values))} and {_number(max(values))}"
    )


def _matrix(axes: Axes) -> Iterator[str]:
    texts = [each.get_text().replace("\n", ", ") for each in axes.texts]
    columns = [each.get_text() for each in axes.get_xticklabels()]
    names = [each.get_text() for each in axes.get_yticklabels()]
    if texts and len(texts) <= MAX_CELLS and len(texts) == len(names) * len(columns):
        for number, text in enumerate(texts):
            row, column = divmod(number, len(columns))
            yield f"{names[row]} as {columns[column]}: {text}"


def _names(axes: Axes) -> dict[int, str]:
    """Returns the rows of an axis that has names in place of numbers."""
    labels = [each.get_text() for each in axes.get_yticklabels()]
    if not any(re.search(r"[^\W\d]", label) for label in labels):
        return {}
    return dict(zip(map(round, axes.get_yticks()), labels, strict=True))


def _numbers(values: Any) -> "np.ndarray":
    return np.ma.filled(np.ma.asarray(values, float), np.nan)


def _number(value: float) -> str:
    return f"{value:.4g}"
