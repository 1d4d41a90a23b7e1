"""Riders per hour of a bike-sharing system: counts, with a Poisson loss."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd

FILE = Path(__file__).with_name("data") / "bikeshare.csv.gz"
NUMBERS = ["workingday", "temp", "hum", "windspeed"]


class Bikeshare:
    """The year is cut in weeks: of four weeks two train, one validates and one tests."""

    def load(self, split):
        """Returns hour and weather of shape (rows, 6), and riders of shape (rows,)."""
        table = pd.read_csv(FILE)
        angle = 2 * np.pi * table["hr"] / 24
        x = np.column_stack([np.sin(angle), np.cos(angle), table[NUMBERS]]).astype("float32")
        week = (table["day"] - 1) // 7 % 4
        parts = {"train": week < 2, "validation": week == 2, "test": week == 3}
        names = ["test"] if split == "test" else ["train", "validation"]
        return {name: (x[parts[name]], table["bikers"][parts[name]]) for name in names}

    def build(self, params):
        """Builds and compiles the model of a trial."""
        model = keras.Sequential(
            [
                keras.layers.Input((6,)),
                keras.layers.Dense(params["units"], activation="relu"),
                keras.layers.Dense(params["units"], activation="relu"),
                keras.layers.Dense(1, activation="exponential"),
            ]
        )
        model.compile(keras.optimizers.Adam(params["learning_rate"]), "poisson", metrics=["mae"])
        return model
