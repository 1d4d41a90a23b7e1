"""The task: riders of the next 24 hours, of two kinds, with three quantiles each."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tuning.core.forms import ServedModel
from tuning.core.task import Split
from tuning.data.forecast_table import ForecastTable
from tuning.data.windows import Windows, table_windows

if TYPE_CHECKING:
    import keras

FILE = Path(__file__).parents[2] / "examples" / "data" / "bikeshare.csv.gz"
RIDERS = ["casual", "registered"]
# Of the next day; the weather is that of its forecast.
KNOWN = ["hour", "weekday", "workingday", "temp", "hum"]
QUANTILES = (0.1, 0.5, 0.9)
HOURS = 8_760
HORIZON = 24
# Positions of the first and after the last hour that each part forecasts. The first week is only
# an input, so that all windows have the same targets.
PARTS = {"train": (168, 5_800), "validation": (5_800, 7_200), "test": (7_200, HOURS)}
STEP = 6  # hours from one forecast to the next


@cache
def hours() -> pd.DataFrame:
    """Returns one row per hour of 2011; the file leaves out hours without riders."""
    table = pd.read_csv(FILE)
    index = (table["day"] - 1) * 24 + table["hr"]
    table = table.set_index(index).reindex(range(HOURS))
    table[RIDERS] = table[RIDERS].fillna(0.0)
    table = table.ffill()
    table["hour"] = [f"{hour:02d}" for hour in table.index % 24]
    table["weekday"] = table["weekday"].astype(int).astype(str)
    return table


def quantile_loss(truth: Any, forecast: Any) -> Any:
    """Returns the mean pinball loss; the last axis of the forecast has the quantiles."""
    import keras

    levels = keras.ops.convert_to_tensor(QUANTILES, "float32")
    error = keras.ops.expand_dims(truth, -1) - forecast
    return keras.ops.mean(keras.ops.maximum(levels * error, (levels - 1) * error))


class BikeshareTask:
    """Windows of hours in the order of time; ``window`` is a hyperparameter of the data."""

    def load(self, split: Split, params: Mapping[str, Any]) -> dict[str, Any]:
        """Returns past and known hours, and riders of shape (rows, 24, 2)."""
        parts = {}
        for part in ("test",) if split == "test" else ("train", "validation"):
            made = self._windows(part, params["window"])
            parts[part] = {"past": made.x, "known": made.known}, made.y
        return parts

    def times(self, part: str) -> np.ndarray:
        """Returns the first and the last hour of each forecast."""
        positions = self._windows(part, 1).times
        return np.datetime64("2011-01-01") + positions.astype("timedelta64[h]")

    def build(self, params: Mapping[str, Any]) -> "keras.Model":
        """Builds a network that reads the past, and each hour of the next day with it."""
        import keras

        form = self._form(params["window"])
        width = [form.encode(hours()[:1], names).shape[1] for names in (form.past, form.known)]
        past = keras.Input((params["window"], width[0]), name="past")
        known = keras.Input((HORIZON, width[1]), name="known")
        state = keras.layers.GRU(params["units"], dropout=params["dropout"])(past)
        each_hour = [keras.layers.RepeatVector(HORIZON)(state), known]
        hidden = keras.layers.Concatenate()(each_hour)
        hidden = keras.layers.Dense(params["units"], activation="relu")(hidden)
        output = keras.layers.Dense(len(RIDERS) * len(QUANTILES))(hidden)
        output = keras.layers.Reshape((HORIZON, len(RIDERS), len(QUANTILES)))(output)
        model = keras.Model({"past": past, "known": known}, output)
        model.compile(keras.optimizers.Adam(params["learning_rate"]), quantile_loss)
        return model

    def yardsticks(self) -> Mapping[str, np.ndarray]:
        """Returns the riders of the same hours of the day before, and of the week before."""
        riders = hours()[RIDERS].to_numpy()
        first = self._windows("test", 1).times[:, 0]
        day = first[:, None] + np.arange(HORIZON)
        found = {"same hours of the day before": day - 24, "of the week before": day - 168}
        return {name: riders[place].reshape(len(first), -1) for name, place in found.items()}

    def serve(self, model_file: Path, folder: Path, params: Mapping[str, Any]) -> ServedModel:
        """Packs the model with its columns: it takes a table, and returns quantiles of riders."""
        from tuning.registry.forecasts import served_forecast

        form = self._form(params["window"])
        example = hours().tail(form.window + HORIZON).copy()
        example.loc[example.index[-HORIZON:], RIDERS] = np.nan
        return served_forecast(form, model_file, folder, example=example, quantiles=QUANTILES)

    def _form(self, window: int) -> ForecastTable:
        return ForecastTable.fit(
            hours()[: PARTS["train"][1]],
            targets=RIDERS,
            past=[*RIDERS, *KNOWN],
            known=KNOWN,
            window=window,
            horizon=HORIZON,
        )

    def _windows(self, part: str, window: int) -> Windows:
        begin, end = PARTS[part]
        return table_windows(self._form(window), hours(), begin=begin, end=end, step=STEP)
