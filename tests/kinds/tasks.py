"""Tasks of every kind that users bring: labels, outputs, inputs, layers, weights and data sets.

Each task trains in milliseconds. None has more than it needs: ``load`` and ``build``.
"""

import gzip
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn.datasets

Arrays = dict[str, tuple[Any, ...]]
ROOT = Path(__file__).parents[2]


def split(x: Any, y: Any, which: str, *more: Any) -> Arrays:
    """Cuts arrays into the parts: a half for training, a quarter each for the others."""
    count = len(next(iter(y.values()))) if isinstance(y, Mapping) else len(y)
    rows = np.random.default_rng(0).permutation(count)
    ends = {"train": (0.0, 0.5), "validation": (0.5, 0.75), "test": (0.75, 1.0)}
    parts = {}
    for name in ("train", "validation") if which == "search" else ("test",):
        low, high = (int(share * len(rows)) for share in ends[name])
        own = rows[low:high]
        parts[name] = tuple(
            {key: each[own] for key, each in array.items()}
            if isinstance(array, Mapping)
            else tuple(each[own] for each in array)
            if isinstance(array, tuple)
            else array[own]
            for array in (x, y, *more)
        )
    return parts


def scaled(x: Any) -> Any:
    return ((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)).astype("float32")


@cache
def cancer() -> tuple[Any, Any]:
    x, y = sklearn.datasets.load_breast_cancer(return_X_y=True)
    return scaled(x), y


@cache
def wine() -> tuple[Any, Any]:
    x, y = sklearn.datasets.load_wine(return_X_y=True)
    return scaled(x), y


@cache
def digits() -> tuple[Any, Any]:
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    return (x / 16).astype("float32").reshape(-1, 8, 8), y


@cache
def diabetes() -> tuple[Any, Any]:
    x, y = sklearn.datasets.load_diabetes(return_X_y=True)
    return scaled(x), y / 100


@cache
def bikes() -> tuple[Any, Any]:
    with gzip.open(ROOT / "examples/data/bikeshare.csv.gz") as stream:
        table = pd.read_csv(stream)
    hour = table["hr"].to_numpy() * 2 * np.pi / 24
    columns = [np.sin(hour), np.cos(hour), table["temp"], table["hum"], table["workingday"]]
    return np.column_stack([np.asarray(each) for each in columns]).astype("float32"), table[
        "bikers"
    ].to_numpy(float) / 100


class Dense:
    """A dense network; the other tasks change its data, its end, or how it is compiled."""

    data = staticmethod(cancer)
    units: int = 1
    activation: str | None = "sigmoid"
    loss: Any = "binary_crossentropy"
    metrics: Sequence[Any] = ("accuracy",)

    def load(self, split_name: str) -> Arrays:
        return split(*self.examples(), split_name)

    def examples(self) -> tuple[Any, ...]:
        return self.data()

    def build(self, params: Mapping[str, Any]) -> Any:
        import keras

        inputs = keras.Input(self.examples()[0].shape[1:])
        hidden = keras.layers.Flatten()(inputs)
        hidden = self.hidden(hidden, params)
        outputs = keras.layers.Dense(self.units, activation=self.activation)(hidden)
        return self.compiled(keras.Model(inputs, outputs))

    def hidden(self, x: Any, params: Mapping[str, Any]) -> Any:
        import keras

        return keras.layers.Dense(params["units"], activation="relu")(x)

    def compiled(self, model: Any) -> Any:
        import keras

        loss = self.make_loss() if hasattr(self, "make_loss") else self.loss
        model.compile(keras.optimizers.Adam(0.02), loss, metrics=list(self.metrics))
        return model


class Sigmoid(Dense):
    """Binary: one sigmoid unit."""


class Logits(Dense):
    activation = None

    def make_loss(self) -> Any:
        import keras

        return keras.losses.BinaryCrossentropy(from_logits=True)


class LogitsOfOwnLoss(Dense):
    """The loss is the user's, so the study says that the outputs are logits."""

    activation = None

    def make_loss(self) -> Any:
        import keras

        def loss(y: Any, z: Any) -> Any:
            return keras.ops.mean(keras.ops.logaddexp(0.0, z) - keras.ops.cast(y, z.dtype) * z)

        return loss


class TwoWaySoftmax(Dense):
    units, activation, loss = 2, "softmax", "sparse_categorical_crossentropy"


class Column(Dense):
    """Labels of shape (rows, 1), and a metric that gives a value per class."""

    def examples(self) -> tuple[Any, ...]:
        x, y = cancer()
        return x, y[:, None]

    def compiled(self, model: Any) -> Any:
        import keras

        self.metrics = ["accuracy", keras.metrics.F1Score(threshold=0.5)]
        return super().compiled(model)


class BooleansAndClassWeights(Dense):
    def examples(self) -> tuple[Any, ...]:
        x, y = cancer()
        return x, y.astype(bool)


class Texts(Dense):
    def examples(self) -> tuple[Any, ...]:
        x, y = cancer()
        return x, np.array(["benign", "malignant"])[y]


class Weighted(Dense):
    def load(self, split_name: str) -> Arrays:
        x, y = cancer()
        return split(x, y, split_name, np.where(y == 1, 0.5, 2.0))


class Subclassed(Dense):
    def build(self, params: Mapping[str, Any]) -> Any:
        import keras

        class Net(keras.Model):  # type: ignore[misc]
            def __init__(self, units: int, **options: Any) -> None:
                super().__init__(**options)
                self.first = keras.layers.Dense(units, activation="relu")
                self.last = keras.layers.Dense(1, activation="sigmoid")

            def call(self, x: Any) -> Any:
                return self.last(self.first(x))

        return self.compiled(Net(params["units"]))


class WithLambda(Dense):
    def hidden(self, x: Any, params: Mapping[str, Any]) -> Any:
        import keras

        return keras.layers.Lambda(lambda t: t * 2)(super().hidden(x, params))


class WithOwnLayer(Dense):
    """A layer that is not registered, so that Keras alone could not load it."""

    def hidden(self, x: Any, params: Mapping[str, Any]) -> Any:
        import keras

        class Gate(keras.layers.Layer):  # type: ignore[misc]
            def build(self, shape: Any) -> None:
                self.gate = self.add_weight(shape=(shape[-1],), initializer="ones")

            def call(self, x: Any) -> Any:
                return x * self.gate

        return Gate()(super().hidden(x, params))


class SequentialWithNormalisation(Dense):
    def build(self, params: Mapping[str, Any]) -> Any:
        import keras

        layers = keras.layers
        model = keras.Sequential(
            [
                layers.Dense(params["units"]),
                layers.BatchNormalization(),
                layers.Dropout(0.1),
                layers.Dense(1, activation="sigmoid"),
            ]
        )
        return self.compiled(model)


class ThreeClasses(Dense):
    data = staticmethod(wine)
    units, activation, loss = 3, "softmax", "sparse_categorical_crossentropy"

    def examples(self) -> tuple[Any, ...]:
        x, y = wine()
        return x, np.array(["barolo", "grignolino", "barbera"])[y]


class OneHot(Dense):
    data = staticmethod(wine)
    units, activation, loss = 3, "softmax", "categorical_crossentropy"

    def examples(self) -> tuple[Any, ...]:
        x, y = wine()
        return x, np.eye(3, dtype="float32")[y]


class LogitsOfClasses(Dense):
    data = staticmethod(wine)
    units, activation = 3, None

    def make_loss(self) -> Any:
        import keras

        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Images(Dense):
    data = staticmethod(digits)
    units, activation, loss = 10, "softmax", "sparse_categorical_crossentropy"


class Mapped(Images):
    """Arrays on disk."""

    def load(self, split_name: str) -> Arrays:
        parts = split(*digits(), split_name)
        folder = Path(tempfile.mkdtemp())
        mapped = {}
        for name, (x, y) in parts.items():
            np.save(folder / f"{name}.npy", x)
            mapped[name] = (np.load(folder / f"{name}.npy", mmap_mode="r"), y)
        return mapped


class KerasDataset(Images):
    def load(self, split_name: str) -> Any:
        import keras

        class Batches(keras.utils.PyDataset):  # type: ignore[misc]
            def __init__(self, x: Any, y: Any) -> None:
                super().__init__()
                self.x, self.y = x, y

            def __len__(self) -> int:
                return -(-len(self.y) // 64)

            def __getitem__(self, index: int) -> Any:
                chosen = slice(64 * index, 64 * (index + 1))
                return self.x[chosen], self.y[chosen]

        return {name: Batches(*part) for name, part in split(*digits(), split_name).items()}


class TensorFlowDataset(Images):
    """The test set shuffles, so its labels must be read together with its rows."""

    def load(self, split_name: str) -> Any:
        import tensorflow as tf

        return {
            name: tf.data.Dataset.from_tensor_slices(part).shuffle(2_000).batch(64)
            for name, part in split(*digits(), split_name).items()
        }


class SeveralLabels(Dense):
    data = staticmethod(digits)
    units = 3

    def examples(self) -> tuple[Any, ...]:
        x, y = digits()
        return x, np.stack([y % 2 == 0, y > 4, np.isin(y, (2, 3, 5, 7))], axis=1).astype(int)


class Regression(Dense):
    data = staticmethod(diabetes)
    activation, loss, metrics = None, "mse", ("mae",)


class OwnTraining(Regression):
    """Its own fit, with callbacks that keep counters."""

    def callbacks(self, params: Mapping[str, Any]) -> Sequence[Any]:
        import keras

        return [
            keras.callbacks.ReduceLROnPlateau("val_loss", patience=1),
            keras.callbacks.EarlyStopping("val_loss", patience=4),
        ]

    def fit(
        self, model: Any, params: Mapping[str, Any], data: Any, callbacks: Any, epochs: int
    ) -> None:
        x, y = data["train"]
        model.fit(
            x,
            y,
            batch_size=64,
            epochs=epochs,
            validation_data=data["validation"],
            callbacks=callbacks,
            verbose=0,
        )


class TwoInputs(Regression):
    def load(self, split_name: str) -> Arrays:
        x, y = diabetes()
        return split({"body": x[:, :4], "blood": x[:, 4:]}, y, split_name)

    def build(self, params: Mapping[str, Any]) -> Any:
        import keras

        inputs = {
            name: keras.Input((size,), name=name) for name, size in (("body", 4), ("blood", 6))
        }
        hidden = keras.layers.Concatenate()(list(inputs.values()))
        hidden = keras.layers.Dense(params["units"], activation="relu")(hidden)
        return self.compiled(keras.Model(inputs, keras.layers.Dense(1)(hidden)))


class TupleOfInputs(TwoInputs):
    def load(self, split_name: str) -> Arrays:
        x, y = diabetes()
        return split((x[:, :4], x[:, 4:]), y, split_name)

    def build(self, params: Mapping[str, Any]) -> Any:
        import keras

        inputs = [keras.Input((4,)), keras.Input((6,))]
        hidden = keras.layers.Concatenate()(inputs)
        hidden = keras.layers.Dense(params["units"], activation="relu")(hidden)
        return self.compiled(keras.Model(inputs, keras.layers.Dense(1)(hidden)))


class TwoTargets(Regression):
    units = 2

    def examples(self) -> tuple[Any, ...]:
        x, y = diabetes()
        return x, np.stack([y, x[:, 2]], axis=1)


class TwoOutputs(Regression):
    """Two named outputs, of which one is judged."""

    def load(self, split_name: str) -> Arrays:
        x, y = diabetes()
        return split(x, {"progress": y, "high": (y > 1.4).astype(int)}, split_name)

    def build(self, params: Mapping[str, Any]) -> Any:
        import keras

        inputs = keras.Input((10,))
        hidden = keras.layers.Dense(params["units"], activation="relu")(inputs)
        model = keras.Model(
            inputs,
            {
                "progress": keras.layers.Dense(1, name="progress")(hidden),
                "high": keras.layers.Dense(1, activation="sigmoid", name="high")(hidden),
            },
        )
        model.compile(
            keras.optimizers.Adam(0.02),
            {"progress": "mse", "high": "binary_crossentropy"},
            metrics={"progress": ["mae"], "high": ["accuracy"]},
        )
        return model


class Counts(Dense):
    data = staticmethod(bikes)
    activation, loss, metrics = "exponential", "poisson", ("mae",)


class Quantile(Dense):
    data = staticmethod(bikes)
    activation, metrics = None, ("mae",)

    def make_loss(self) -> Any:
        import keras

        def pinball(y: Any, p: Any) -> Any:
            error = keras.ops.cast(y, p.dtype) - p
            return keras.ops.mean(keras.ops.maximum(0.9 * error, -0.1 * error))

        return pinball


class Windows(Dense):
    """A forecast from a window of hours, whose length is a hyperparameter of the data."""

    activation, loss, metrics = None, "mse", ("mae",)

    def load(self, split: str, params: Mapping[str, Any]) -> Arrays:  # type: ignore[override]
        riders = bikes()[1].astype("float32")
        ends = {"train": (0.0, 0.6), "validation": (0.6, 0.8), "test": (0.8, 1.0)}
        parts = {}
        for name in ("train", "validation") if split == "search" else ("test",):
            low, high = (int(share * len(riders)) for share in ends[name])
            own = riders[low:high]
            windows = np.lib.stride_tricks.sliding_window_view(own, params["window"])
            # Every window ends one hour before its target; all lengths have the same targets.
            parts[name] = windows[24 - params["window"] : -1], own[24:]
        return parts

    def times(self, part: str) -> Any:
        begins = {"train": 0.0, "validation": 0.6, "test": 0.8}
        ends = {"train": 0.6, "validation": 0.8, "test": 1.0}
        count = len(bikes()[1])
        hours = np.arange(int(begins[part] * count) + 24, int(ends[part] * count))
        return np.datetime64("2011-01-01") + hours.astype("timedelta64[h]")

    def build(self, params: Mapping[str, Any]) -> Any:
        import keras

        inputs = keras.Input((params["window"],))
        hidden = keras.layers.Dense(params["units"], activation="relu")(inputs)
        return self.compiled(keras.Model(inputs, keras.layers.Dense(1)(hidden)))


class Horizon(Dense):
    """A sequence of four numbers per example."""

    activation, loss, metrics, units = None, "mae", ("mae",), 4

    def examples(self) -> tuple[Any, ...]:
        windows = np.lib.stride_tricks.sliding_window_view(bikes()[1].astype("float32"), 16)[::5]
        return windows[:, :12], windows[:, 12:]


class Steps(Dense):
    """A class per step of a sequence: has the running sum passed zero?"""

    def examples(self) -> tuple[Any, ...]:
        x = np.random.default_rng(1).normal(size=(600, 6, 1)).astype("float32")
        return x, (x.cumsum(axis=1) > 0).astype(int)

    def build(self, params: Mapping[str, Any]) -> Any:
        import keras

        inputs = keras.Input((6, 1))
        hidden = keras.layers.SimpleRNN(params["units"], return_sequences=True)(inputs)
        outputs = keras.layers.Dense(1, activation="sigmoid")(hidden)
        return self.compiled(keras.Model(inputs, outputs))


class AddedLoss(Regression):
    """A loss that is summed over the batch, and autologging of MLflow switched on by the user."""

    def build(self, params: Mapping[str, Any]) -> Any:
        import keras
        import mlflow

        mlflow.autolog(disable=False, log_models=True)
        self.loss = keras.losses.MeanSquaredError(reduction="sum")
        return super().build(params)


def cost(truth: Any, prediction: Any) -> float:
    """A metric of the user: too few bikes cost three times as much as too many."""
    error = truth - prediction
    return float(np.mean(np.where(error > 0, 3 * error, -error)))
