"""Windows of time series: inputs from the past, and targets from the future."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuning.core.errors import BadInputError

if TYPE_CHECKING:
    import pandas as pd

    from tuning.data.forecast_table import ForecastTable

Array = NDArray[Any]


@dataclass(frozen=True)
class Windows:
    """Examples for a forecast, in the order of time.

    Attributes:
        x: Inputs before the forecast, of shape (examples, window, columns).
        y: Targets, of shape (examples, horizon), or (examples, horizon, series).
        times: First and last time of the targets, of shape (examples, 2).
        known: Columns that are known in advance at the times of the targets, of shape (examples,
            horizon, columns); None if there are none.
    """

    x: Array
    y: Array
    times: Array
    known: Array | None = None


def table_windows(
    form: "ForecastTable",
    table: "pd.DataFrame",
    *,
    begin: int = 0,
    end: int | None = None,
    step: int = 1,
    times: Any = None,
) -> Windows:
    """Cuts a table with one row per time into windows; see ``windows``.

    Args:
        form: Columns of the table, with window and horizon.
        table: Rows in the order of time.
        begin: Position of the first target.
        end: Position after the last target; None for all.
        step: Number of times from one example to the next.
        times: Time of each row; None for the positions.

    Returns:
        Windows, whose targets are of shape (examples, horizon) for one target.

    Raises:
        BadInputError: There are too few rows for one example.
    """
    targets = table[list(form.targets)].to_numpy(np.float32)
    return windows(
        form.encode(table, form.past),
        targets[:, 0] if len(form.targets) == 1 else targets,
        window=form.window,
        horizon=form.horizon,
        begin=begin,
        end=end,
        step=step,
        known=form.encode(table, form.known) if form.known else None,
        times=times,
    )


def windows(
    inputs: Any,
    targets: Any,
    *,
    window: int,
    horizon: int = 1,
    step: int = 1,
    begin: int = 0,
    end: int | None = None,
    known: Any = None,
    times: Any = None,
) -> Windows:
    """Cuts time series into windows.

    An example forecasts the targets at the positions t to t + horizon - 1 from the inputs at
    t - window to t - 1. All targets lie between ``begin`` and ``end``, so no window reaches over
    the border of a part; the inputs of the first examples may lie before ``begin``, because the
    past is known when a forecast is made.

    Args:
        inputs: Columns known at each time after it has passed, of shape (times,) or (times,
            columns).
        targets: What is forecast, of shape (times,), or (times, series).
        window: Number of times before the forecast.
        horizon: Number of times that are forecast.
        step: Number of times from one example to the next.
        begin: Position of the first target.
        end: Position after the last target; None for all.
        known: Columns that are known in advance, such as the calendar, of shape (times, columns).
        times: Time at each position, as numbers or NumPy's dates; None for the positions.

    Raises:
        BadInputError: The lengths differ, or there are too few times for one example.
    """
    inputs, targets = np.asarray(inputs), np.asarray(targets)
    inputs = inputs[:, None] if inputs.ndim == 1 else inputs
    positions = np.arange(len(targets)) if times is None else np.asarray(times)
    for name, count in (("window", window), ("horizon", horizon), ("step", step)):
        if count < 1:
            raise BadInputError(f"windows: {name} must be a whole number from 1; got {count}")
    others = {"inputs": inputs, "times": positions}
    others |= {} if known is None else {"known": np.asarray(known)}
    for name, array in others.items():
        if len(array) != len(targets):
            raise BadInputError(
                f"windows: {name} has {len(array)} times, and targets have {len(targets)}"
            )
    stop = len(targets) if end is None else min(end, len(targets))
    starts = np.arange(max(begin, window), stop - horizon + 1, step)
    if not len(starts):
        raise BadInputError(
            f"windows: from {begin} to {stop} there is no place for {window} times before and "
            f"{horizon} times of a forecast"
        )
    future = starts[:, None] + np.arange(horizon)
    return Windows(
        x=inputs[starts[:, None] + np.arange(-window, 0)],
        y=targets[future],
        times=np.stack([positions[starts], positions[future[:, -1]]], axis=1),
        known=None if known is None else np.asarray(known)[future],
    )
