"""Riders of the next 24 hours, of two kinds, with their uncertainty; the last weeks are the test.

The window is a hyperparameter of the data. The registered model takes a table and returns riders.
"""

from pathlib import Path

import keras
import numpy as np
import pandas as pd

import tuning

FILE = Path(__file__).with_name("data") / "bikeshare.csv.gz"
RIDERS = ["casual", "registered"]
KNOWN = ["hour", "weekday", "workingday", "temp", "hum"]  # of the next day, from its forecast
QUANTILES = [0.1, 0.5, 0.9]
ENDS = {"train": 5800, "validation": 7200, "test": 8760}  # of the hours of the year
LONGEST = 168
STEP = 6  # hours from one forecast to the next


def hours():
    """Returns one row per hour of 2011; the file leaves out hours without riders."""
    table = pd.read_csv(FILE)
    index = (table["day"] - 1) * 24 + table["hr"]
    table = table.set_index(index).reindex(range(8760))
    table[RIDERS] = table[RIDERS].fillna(0.0)
    table = table.ffill()
    table["hour"] = [f"{hour:02d}" for hour in table.index % 24]
    table["weekday"] = table["weekday"].astype(int).astype(str)
    return table


def quantile_loss(truth, forecast):
    """Returns the mean pinball loss; the last axis of the forecast has the quantiles."""
    levels = keras.ops.convert_to_tensor(QUANTILES, "float32")
    error = keras.ops.expand_dims(truth, -1) - forecast
    return keras.ops.mean(keras.ops.maximum(levels * error, (levels - 1) * error))


class Riders:
    """Windows of hours, cut in the order of time."""

    def table_form(self, params):
        """Returns the columns with their scale, which the training hours give."""
        return tuning.ForecastTable.fit(
            hours()[: ENDS["train"]],
            targets=RIDERS,
            past=[*RIDERS, *KNOWN],
            known=KNOWN,
            window=params["window"],
            horizon=24,
        )

    def windows(self, part, params):
        """Returns the windows of a part; they have the same targets for all lengths."""
        begin = {"train": LONGEST, "validation": ENDS["train"], "test": ENDS["validation"]}
        return tuning.table_windows(
            self.table_form(params), hours(), begin=begin[part], end=ENDS[part], step=STEP
        )

    def load(self, split, params):
        """Returns past and known hours, and riders of shape (rows, 24, 2)."""
        parts = {}
        for part in ("test",) if split == "test" else ("train", "validation"):
            made = self.windows(part, params)
            parts[part] = {"past": made.x, "known": made.known}, made.y
        return parts

    def times(self, part):
        """Returns the first and the last hour of each forecast."""
        positions = self.windows(part, {"window": 1}).times
        return np.datetime64("2011-01-01") + positions.astype("timedelta64[h]")

    def build(self, params):
        """Returns a network that reads the past, and each hour of the next day with it."""
        form = self.table_form(params)
        width = [form.encode(hours()[:1], names).shape[1] for names in (form.past, form.known)]
        past = keras.Input((params["window"], width[0]), name="past")
        known = keras.Input((24, width[1]), name="known")
        state = keras.layers.GRU(params["units"], dropout=params["dropout"])(past)
        each_hour = [keras.layers.RepeatVector(24)(state), known]
        hidden = keras.layers.Concatenate()(each_hour)
        hidden = keras.layers.Dense(params["units"], activation="relu")(hidden)
        output = keras.layers.Dense(len(RIDERS) * len(QUANTILES))(hidden)
        output = keras.layers.Reshape((24, len(RIDERS), len(QUANTILES)))(output)
        model = keras.Model({"past": past, "known": known}, output)
        model.compile(keras.optimizers.Adam(params["learning_rate"]), quantile_loss)
        return model

    def yardsticks(self):
        """Returns the riders of the same hour of the day before, and of the week before."""
        riders = hours()[RIDERS].to_numpy()
        first = self.windows("test", {"window": 1}).times[:, 0]
        day = first[:, None] + np.arange(24)
        found = {"same hour of the day before": day - 24, "of the week before": day - 168}
        return {name: riders[place].reshape(len(first), -1) for name, place in found.items()}

    def serve(self, model_file, folder, params):
        """Packs the model with its columns: it takes a table, and returns quantiles of riders."""
        form = self.table_form(params)
        example = hours().tail(form.window + form.horizon).copy()
        example.loc[example.index[-24:], RIDERS] = np.nan
        return tuning.served_forecast(
            form, model_file, folder, example=example, quantiles=QUANTILES
        )
