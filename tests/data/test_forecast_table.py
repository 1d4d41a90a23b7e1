"""A table becomes the inputs of a forecast: scaled by its training rows, in training and later."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tuning.data.forecast_table import ForecastTable
from tuning.data.windows import table_windows

TABLE = pd.DataFrame(
    {
        "load": np.arange(40.0) + 100,
        "heat": np.sin(np.arange(40.0)),
        "day": [("mon", "tue", "wed", "thu")[row % 4] for row in range(40)],
        "open": [row % 2 == 0 for row in range(40)],
        "flat": 3.0,
    }
)
COLUMNS: dict[str, Any] = {"targets": ["load"], "past": ["load", "heat"], "known": ["day", "open"]}


def fitted(**changes: Any) -> ForecastTable:
    return ForecastTable.fit(TABLE[:20], **{**COLUMNS, "window": 5, "horizon": 3, **changes})


def test_numbers_are_scaled_by_the_training_rows_and_categories_become_columns() -> None:
    form = fitted(past=["load", "flat"])
    numbers = form.encode(TABLE[:20], form.past)
    assert numbers.mean(axis=0) == pytest.approx([0, 0], abs=1e-6)
    assert numbers.std(axis=0) == pytest.approx([1, 0], abs=1e-6)
    expected = (TABLE["load"][30] - TABLE["load"][:20].mean()) / TABLE["load"][:20].std(ddof=0)
    assert form.encode(TABLE, form.past)[30, 0] == pytest.approx(expected)
    assert form.encode(TABLE[:2], form.known).tolist() == [[1, 0, 0, 0, 0, 1], [0, 0, 1, 0, 1, 0]]


def test_the_inputs_of_a_request_are_those_of_the_training() -> None:
    form = fitted()
    made = table_windows(form, TABLE, begin=20)
    asked = TABLE[10:28].reset_index(drop=True).copy()
    asked.loc[15:, ["load", "heat"]] = np.nan
    inputs = form.latest(asked)
    assert np.array_equal(inputs["past"][0], made.x[5])
    assert made.known is not None and np.array_equal(inputs["known"][0], made.known[5])
    assert made.y[5].tolist() == [125, 126, 127], "targets stay in their units"


def test_it_can_be_written_and_read() -> None:
    form = fitted()
    assert ForecastTable.from_json(form.to_json()) == form


def test_without_known_columns_only_the_past_is_needed() -> None:
    form = fitted(known=[])
    assert [*form.latest(TABLE[:5])] == ["past"]
    assert table_windows(form, TABLE).known is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table[-7:], "needs 5 rows before it; got 4"),
        (lambda table: table[:-1], "3 rows must follow with empty load and with day, open"),
        (lambda table: table.assign(day="sun"), r"row 39: 'day' must be one of \['mon'"),
        (
            lambda table: table.assign(heat=[0.0] * 36 + [np.nan] * 5),
            "row 37: 'heat' must be a nu",
        ),
    ],
)
def test_missing_rows_and_values_are_named(change: Any, message: str) -> None:
    asked = pd.concat([TABLE, TABLE[:1]], ignore_index=True)
    asked.loc[38:, ["load", "heat"]] = np.nan
    with pytest.raises(ValueError, match=message):
        fitted().latest(change(asked).reset_index(drop=True))


def test_columns_that_cannot_be_scaled_or_counted_are_handled() -> None:
    table = pd.DataFrame({"flat": [0.1] * 30, "load": np.arange(30.0)})
    form = ForecastTable.fit(table, targets=["load"], past=["flat"], window=2)
    assert form.encode(pd.DataFrame({"flat": [0.2]}), form.past)[0, 0] == pytest.approx(0.1)
    columns: list[tuple[Any, str]] = [
        (["a", None, "b"] * 10, "missing values"),
        (pd.date_range("2026-01-01", periods=30), "dates"),
    ]
    for column, problem in columns:
        with pytest.raises(ValueError, match=f"the column 'odd' has {problem}"):
            ForecastTable.fit(table.assign(odd=column), targets=["load"], past=["odd"], window=2)
