"""Riders in the next hour from the last day, with a recurrent network; the test rows are last."""

from pathlib import Path

import keras
import pandas as pd

import tuning

HOURS = 24
FILE = Path(__file__).parents[1] / "data" / "bikeshare.csv.gz"


def build(params):
    """Builds a recurrent network from a mapping of hyperparameters."""
    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[params["layer"]]
    model = keras.Sequential(
        [keras.layers.Input((HOURS, 1)), layer(params["units"]), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(params["learning_rate"]), "mse")
    return model


riders = pd.read_csv(FILE)["bikers"].to_numpy("float32")[:3000] / 100
made = tuning.windows(riders, riders, window=HOURS)
result = tuning.tune(
    build,
    data=(made.x, made.y),
    times=made.times,
    metric="mae",
    space={
        "layer": tuning.Choice(["lstm", "gru"], default="lstm"),
        "units": tuning.Int(4, 16, step=4, default=8),
        "learning_rate": tuning.Float(1e-3, 3e-2, log=True, default=1e-3),
    },
    trials=3,
    epochs=3,
    name="riders",
)
print(result)
