"""Simple forecasts to compare the networks with, fitted on all days before the test."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.nyse.data import DAY, NUMBERS, TARGET, targets_of, trading_days

LAGS = 5
Floats = NDArray[np.floating]


def yardsticks() -> dict[str, Floats]:
    """Returns forecasts of the test days, of shape (days,), by name of the simple model."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression

    days = trading_days()
    volume = days[TARGET].to_numpy()
    train, test = targets_of("search"), targets_of("test")
    lags = np.concatenate([_lagged(days, lag) for lag in range(1, LAGS + 1)], axis=1)
    with_day = np.concatenate([lags, pd.get_dummies(days[DAY]).to_numpy(float)], axis=1)
    models = {
        f"linear, {LAGS} days": (LinearRegression(), lags),
        f"linear, {LAGS} days and day of the week": (LinearRegression(), with_day),
        f"boosted trees, {LAGS} days and day of the week": (
            HistGradientBoostingRegressor(
                learning_rate=0.03, max_iter=200, max_leaf_nodes=8, random_state=0
            ),
            with_day,
        ),
    }
    found = {"same as yesterday": volume[test - 1]}
    for name, (model, columns) in models.items():
        found[name] = model.fit(columns[train], volume[train]).predict(columns[test])
    return found


def _lagged(days: pd.DataFrame, lag: int) -> Floats:
    shifted: Floats = days[[*NUMBERS]].shift(lag).to_numpy()
    return shifted
