"""Every figure of the report says in words what it shows."""

import numpy as np
from matplotlib.figure import Figure

from tuning.report.figures.alternative import text_alternative
from tuning.report.figures.style import dots, lines, one_panel, panels


def test_a_curve_is_given_by_its_values() -> None:
    figure, axes = one_panel()
    axes.plot([1, 2, 3], [0.5, 0.25, 0.125], **lines(0), label="baseline")
    axes.plot(range(100), np.linspace(2, 1, 100) ** 2, **lines(1), label="best (optuna-1)")
    axes.axhline(0.1)  # without a name, so nothing is said of it
    axes.set(xlabel="epoch", ylabel="val loss")
    assert text_alternative("Loss by epoch", figure) == (
        "Loss by epoch. Across: epoch. Up: val loss. baseline: 0.5, 0.25, 0.125; "
        "best (optuna-1): 100 values from 4 to 1, between 1 and 4."
    )


def test_rows_have_the_names_of_their_axis() -> None:
    figure, axes = one_panel()
    for row, values in enumerate(([0.1, 0.2], [0.3])):
        axes.plot(values, [row] * len(values), "o")
        axes.plot([np.mean(values)], [row], "|")
    axes.set_yticks([0, 1], ["baseline", "best"])
    axes.set_xlabel("test rmse")
    assert text_alternative("Test metric", figure) == (
        "Test metric. Across: test rmse. baseline: 0.1, 0.2; best: 0.3."
    )


def test_bars_points_and_gaps() -> None:
    figure, (bars, points) = panels(2)
    bars.barh(["units", "rate"], [70.0, 30.0])
    points.plot([1, 2, 3], [0.5, np.nan, 0.7], **dots(0), label="random")
    assert text_alternative("Both", figure) == (
        "Both. units: 70; rate: 30. random: 2 points between 0.5 and 0.7."
    )


def test_the_cells_of_a_small_matrix_are_read_out() -> None:
    figure, axes = one_panel()
    axes.imshow([[0.9, 0.1], [0.2, 0.8]])
    for (row, column), count in np.ndenumerate([[9, 1], [2, 8]]):
        axes.text(column, row, str(count))
    axes.set_xticks([0, 1], ["no", "yes"])
    axes.set_yticks([0, 1], ["no", "yes"])
    text = text_alternative("Confusion", figure)
    assert "no as yes: 1" in text
    assert "yes as yes: 8" in text


def test_a_figure_can_describe_itself() -> None:
    figure = Figure()
    figure.subplots().plot([1], [2], label="no word")
    figure.set_label("In 2 minutes, local-0 trained 1.5 minutes.")
    text = text_alternative("Workers", figure)
    assert text == "Workers. In 2 minutes, local-0 trained 1.5 minutes."


def test_many_series_are_cut() -> None:
    figure, axes = one_panel()
    for index in range(11):
        axes.plot([0, 1], [index, index], label=f"trial {index}")
    assert text_alternative("Many", figure).endswith("trial 7: 7, 7; and 3 more.")
