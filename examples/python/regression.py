"""Regression of a table: the whole study is one call."""

import keras
import sklearn.datasets

import tuning


def build(hp):
    """Builds a model; the defaults of the hyperparameters are the baseline."""
    model = keras.Sequential(
        [
            keras.layers.Input((10,)),
            keras.layers.Dense(hp.Int("units", 16, 128, step=16, default=32), activation="relu"),
            keras.layers.Dropout(hp.Float("rate", 0.0, 0.5, step=0.1, default=0.0)),
            keras.layers.Dense(1),
        ]
    )
    rate = hp.Float("lr", 1e-3, 1e-1, sampling="log", default=1e-2)
    model.compile(keras.optimizers.Adam(rate), "mse")
    return model


x, y = sklearn.datasets.load_diabetes(return_X_y=True)
result = tuning.tune(build, data=(x, y), metric="rmse", trials=6, epochs=20, name="diabetes")
print(result.verdict, result.gain, result.best_params)
