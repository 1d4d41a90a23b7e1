"""Times and groups in the forms that users have them."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tuning.core.errors import BadInputError
from tuning.data.dependence import checked_rows

DAYS = np.array(["2026-03-28", "2026-03-29", "2026-03-30"], "datetime64[ns]")


@pytest.mark.parametrize(
    "times",
    [
        DAYS,
        DAYS.astype("datetime64[D]"),
        pd.Series(DAYS, index=[5, 6, 7]),
        pd.DatetimeIndex(DAYS),
        pd.DatetimeIndex(DAYS, tz="UTC"),
        [date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)],
        [datetime(2026, 3, day, tzinfo=UTC) for day in (28, 29, 30)],
        ["2026-03-28", "2026-03-29", "2026-03-30"],
        np.array(["2026-03-28", "2026-03-29", "2026-03-30"], dtype=object),
        ["2026-03-28T01:00+01:00", "2026-03-29T01:00+01:00", "2026-03-30T02:00+02:00"],
    ],
    ids=lambda times: type(times).__name__,
)
def test_dates_of_every_kind_become_dates_without_a_zone(times: Any) -> None:
    found = checked_rows("times", times, 3)
    assert found.dtype == "datetime64[ns]" and np.array_equal(found, DAYS)


def test_numbers_stay_and_spans_keep_their_shape() -> None:
    assert checked_rows("times", [3, 1, 2], 3).tolist() == [3, 1, 2]
    spans = np.stack([DAYS, DAYS + 1], axis=1)
    assert checked_rows("times", spans, 3).shape == (3, 2)
    texts = spans.astype(str)
    assert np.array_equal(checked_rows("times", texts, None), spans)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([3, 3, 1], [3, 3, 1]),
        ([3.0, 3.0, 1.0], [3, 3, 1]),
        (["x", "x", "y"], ["x", "x", "y"]),
        (pd.Series(["x", "x", "y"]), ["x", "x", "y"]),
        (pd.Categorical(["x", "x", "y"]), ["x", "x", "y"]),
        (np.array(["x", 7, 2.5], dtype=object), ["x", "7", "2.5"]),
    ],
)
def test_groups_become_numbers_or_texts(groups: Any, expected: Any) -> None:
    found = checked_rows("groups", groups, 3)
    assert found.tolist() == expected and not found.dtype.hasobject


@pytest.mark.parametrize(
    ("field", "values", "message"),
    [
        ("times", ["2026-01-01", None, "2026-01-03"], "1 are missing, the first of row 1"),
        ("times", [1.0, np.nan, 3.0], "times: 1 are missing, the first of row 1"),
        ("times", np.array(["NaT", "2026-01-02", "NaT"], "datetime64[D]"), "2 are missing"),
        ("times", ["soon", "later", "never"], "numbers or dates are needed"),
        ("times", np.zeros((3, 3)), r"of shape \(3,\) or \(3, 2\); got the shape \(3, 3\)"),
        ("groups", ["a", None, "b"], "groups: 1 are missing"),
        ("groups", [1.0, np.nan, 2.0], "groups: 1 are missing"),
        ("groups", np.zeros((3, 2)), r"of shape \(3,\); got the shape \(3, 2\)"),
        ("groups", "abc", r"got the shape \(\)"),
    ],
)
def test_what_is_missing_or_no_time_is_refused(field: str, values: Any, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        checked_rows(field, values, 3)
