"""Windows of time series: their positions, borders and forms."""

from typing import Any

import numpy as np
import pytest

import tuning
from tuning.core.errors import BadInputError

COLUMNS = np.stack([np.arange(20.0), np.arange(20.0) * 10], axis=1)
TARGET = np.arange(20.0) + 100


def test_inputs_end_before_the_forecast_begins() -> None:
    made = tuning.windows(COLUMNS, TARGET, window=3, horizon=2)
    assert made.x.shape == (16, 3, 2) and made.y.shape == (16, 2)
    assert made.x[0, :, 0].tolist() == [0, 1, 2] and made.x[0, :, 1].tolist() == [0, 10, 20]
    assert made.y[0].tolist() == [103, 104] and made.times[0].tolist() == [3, 4]
    assert made.y[-1].tolist() == [118, 119] and made.known is None


def test_no_target_lies_beyond_a_border_but_the_past_may() -> None:
    options: dict[str, Any] = {"window": 4, "horizon": 3}
    train = tuning.windows(COLUMNS, TARGET, end=12, **options)
    test = tuning.windows(COLUMNS, TARGET, begin=12, **options)
    assert train.times.max() == 11 and test.times.min() == 12
    assert test.x[0, :, 0].tolist() == [8, 9, 10, 11]


def test_several_series_steps_dates_and_the_calendar() -> None:
    dates = np.datetime64("2011-01-01") + np.arange(20)
    calendar = np.arange(20)[:, None] % 7
    both = np.stack([TARGET, -TARGET], axis=1)
    made = tuning.windows(TARGET, both, window=5, horizon=2, step=5, known=calendar, times=dates)
    assert made.x.shape == (3, 5, 1) and made.y.shape == (3, 2, 2)
    assert made.y[1].tolist() == [[110, -110], [111, -111]]
    assert made.times[1].tolist() == [dates[10], dates[11]]
    assert made.known is not None and made.known[1, :, 0].tolist() == [3, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window must be a whole number from 1; got 0"),
        ({"window": 15, "horizon": 6}, "no place for 15 times before and 6 times"),
        ({"window": 2, "known": np.zeros((19, 1))}, "known has 19 times, and targets have 20"),
    ],
)
def test_what_does_not_fit_is_refused(options: Any, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        tuning.windows(COLUMNS, TARGET, **options)
