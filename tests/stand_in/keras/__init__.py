"""A stand-in for Keras in NumPy, for tests of bookkeeping: it is imported in a tenth of a second.

Where its folder comes first on the path, ``tuning`` runs unchanged: the workers build, train, save
and load models, and write checkpoints. It has what ``tuning`` and ``tests.toy_task`` use of Keras,
and no more. Its models are small, and it trains them really, with Adam on binary cross-entropy.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

__version__ = "3.0"  # MLflow asks for it

Array = np.ndarray[Any, Any]


class Variable:
    def __init__(self, value: Any) -> None:
        self.value: Array = np.asarray(value, "float32")

    def assign(self, value: Any) -> None:
        self.value = np.array(value, "float32")


class Input:
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape


class Dropout:
    def __init__(self, rate: float) -> None:
        self.rate = rate


class Dense:
    def __init__(self, units: int, activation: str = "linear") -> None:
        self.units = units
        self.activation = SimpleNamespace(__name__=activation)

    def build(self, inputs: int) -> None:
        scale = (6 / (inputs + self.units)) ** 0.5
        self.kernel = Variable(np.random.uniform(-scale, scale, (inputs, self.units)))
        self.bias = Variable(np.zeros(self.units))

    def __call__(self, x: Array) -> Array:
        z: Array = x @ self.kernel.value + self.bias.value
        if self.activation.__name__ == "linear":
            return z
        return np.tanh(z) if self.activation.__name__ == "tanh" else 1 / (1 + np.exp(-z))


class Adam:
    def __init__(self, learning_rate: float = 0.001) -> None:
        self.learning_rate = learning_rate
        self.variables: list[Variable] = []

    def build(self, weights: Sequence[Variable]) -> None:
        if not self.variables:
            self.variables = [Variable(0.0)]
            self.variables += [Variable(np.zeros_like(w.value)) for w in weights for _ in "mv"]

    def apply(self, gradients: Sequence[Array], weights: Sequence[Variable]) -> None:
        """One step of Adam (Kingma and Ba 2015, algorithm 1)."""
        self.build(weights)
        self.variables[0].assign(step := self.variables[0].value + 1)
        for index, (gradient, weight) in enumerate(zip(gradients, weights, strict=True)):
            m, v = self.variables[1 + 2 * index : 3 + 2 * index]
            m.assign(0.9 * m.value + 0.1 * gradient)
            v.assign(0.999 * v.value + 0.001 * gradient**2)
            change = (m.value / (1 - 0.9**step)) / (np.sqrt(v.value / (1 - 0.999**step)) + 1e-7)
            weight.assign(weight.value - self.learning_rate * change)


class Model:
    """Dense and dropout layers in a row; the last layer is one sigmoid unit."""

    built = True

    def __init__(self, layers: Sequence[Any]) -> None:
        (self._inputs,) = layers[0].shape
        self.layers = list(layers[1:])
        width = self._inputs
        for layer in self._dense():
            layer.build(width)
            width = layer.units
        self.optimizer = Adam()
        self.loss = ""
        self.compiled = False
        self.stop_training = False

    def _dense(self) -> Iterator[Dense]:
        return (layer for layer in self.layers if isinstance(layer, Dense))

    @property
    def inputs(self) -> list[Any]:
        return [SimpleNamespace(shape=(None, self._inputs), dtype="float32")]

    @property
    def outputs(self) -> list[Any]:
        last = self.layers[-1]
        history = (last, 0, 0)
        return [SimpleNamespace(shape=(None, last.units), dtype="float32", _keras_history=history)]

    @property
    def output_names(self) -> list[str]:
        return ["output"]

    @property
    def variables(self) -> list[Variable]:
        return [variable for layer in self._dense() for variable in (layer.kernel, layer.bias)]

    trainable_variables = variables

    def get_weights(self) -> list[Array]:
        return [variable.value.copy() for variable in self.variables]

    def set_weights(self, weights: Sequence[Array]) -> None:
        for variable, weight in zip(self.variables, weights, strict=True):
            variable.assign(weight)

    def count_params(self) -> int:
        return sum(variable.value.size for variable in self.variables)

    def compile(self, optimizer: Adam, loss: str, metrics: Sequence[str]) -> None:
        assert (loss, list(metrics)) == ("binary_crossentropy", ["accuracy"])
        self.optimizer = optimizer
        self.loss = loss
        self.compiled = True

    def _flatten_layers(self, include_self: bool) -> list[Any]:
        return self.layers

    def predict(self, x: Array, batch_size: int = 32, verbose: int = 0) -> Array:
        for layer in self._dense():
            x = layer(x)
        return np.asarray(x, "float32")

    def fit(
        self,
        x: Array,
        y: Array,
        batch_size: int,
        validation_data: tuple[Array, Array],
        epochs: int = 1,
        initial_epoch: int = 0,
        callbacks: Sequence[Any] = (),
        sample_weight: None = None,
        steps_per_epoch: None = None,
        **options: Any,
    ) -> Any:
        history: dict[str, list[float]] = {}
        for callback in callbacks:
            callback.on_train_begin(None)
        for epoch in range(initial_epoch, epochs):
            for callback in callbacks:
                callback.on_epoch_begin(epoch, None)
            order = np.random.permutation(len(x))
            for start in range(0, len(x), batch_size):
                chosen = order[start : start + batch_size]
                self._step(x[chosen], y[chosen])
            scores = {**self._scores(x, y), **self._scores(*validation_data, prefix="val_")}
            for name, value in scores.items():
                history.setdefault(name, []).append(value)
            for callback in callbacks:
                callback.on_epoch_end(epoch, scores)
            if self.stop_training:
                break
        return SimpleNamespace(history=history)

    def train_on_batch(self, x: Array, y: Array, **options: Any) -> dict[str, float]:
        self._step(x, y)
        return self._scores(x, y)

    def test_on_batch(self, x: Array, y: Array, **options: Any) -> dict[str, float]:
        return self._scores(x, y)

    def _step(self, x: Array, y: Array) -> None:
        inputs, masks = [], []
        for layer in self.layers:
            if isinstance(layer, Dropout):
                kept = np.random.random(x.shape) >= layer.rate
                masks.append(kept / (1 - layer.rate))
                x = x * masks[-1]
            else:
                inputs.append(x)
                x = layer(x)
        # The derivative of binary cross-entropy with respect to the input of the sigmoid.
        error = (x - y[:, None]) / len(x)
        gradients: list[Array] = []
        for layer in reversed(self.layers):
            if isinstance(layer, Dropout):
                error = error * masks.pop()
                continue
            if layer is not self.layers[-1]:
                error = error * (1 - layer(inputs[-1]) ** 2)  # tanh
            gradients[:0] = [inputs[-1].T @ error, error.sum(axis=0)]
            inputs.pop()
            error = error @ layer.kernel.value.T
        self.optimizer.apply(gradients, self.trainable_variables)

    def _scores(self, x: Array, y: Array, prefix: str = "") -> dict[str, float]:
        probability = np.clip(self.predict(x)[:, 0], 1e-7, 1 - 1e-7)
        loss = -np.where(y == 1, np.log(probability), np.log(1 - probability)).mean()
        accuracy = ((probability >= 0.5) == (y == 1)).mean()
        return {f"{prefix}loss": float(loss), f"{prefix}accuracy": float(accuracy)}

    def load_weights(self, file: Any) -> None:
        self.set_weights(load_model(file).get_weights())

    def save(self, file: Any) -> None:
        config = [
            [layer.units, layer.activation.__name__] if isinstance(layer, Dense) else layer.rate
            for layer in self.layers
        ]
        head = np.frombuffer(json.dumps([self._inputs, config]).encode(), "u1")
        with open(file, "wb") as stream:
            np.savez(stream, head, *self.get_weights())


def load_model(file: Any, compile: bool = True, safe_mode: bool = True) -> Model:
    with np.load(file, allow_pickle=False) as stored:
        head, *weights = stored.values()
    inputs, config = json.loads(head.tobytes())
    layers = [Dense(*entry) if isinstance(entry, list) else Dropout(entry) for entry in config]
    model = Model([Input((inputs,)), *layers])
    model.set_weights(weights)
    return model


def set_random_seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)


class Callback:
    """MLflow derives its own from it."""


class LambdaCallback(Callback):
    def __init__(
        self,
        on_train_begin: Callable[[Any], None] = lambda logs: None,
        on_epoch_begin: Callable[[int, Any], None] = lambda epoch, logs: None,
        on_epoch_end: Callable[[int, Any], None] = lambda epoch, logs: None,
    ) -> None:
        self.on_train_begin = on_train_begin
        self.on_epoch_begin = on_epoch_begin
        self.on_epoch_end = on_epoch_end


Sequential = Model
backend = SimpleNamespace(backend=lambda: "numpy")
callbacks = SimpleNamespace(Callback=Callback, LambdaCallback=LambdaCallback)
layers = SimpleNamespace(Dense=Dense, Dropout=Dropout, Input=Input)
losses = SimpleNamespace(Loss=type("Loss", (), {}))
ops = SimpleNamespace(convert_to_numpy=lambda variable: variable.value)
optimizers = SimpleNamespace(Adam=Adam)
saving = SimpleNamespace(load_model=load_model)
tree = SimpleNamespace(flatten=lambda value: value if isinstance(value, list) else [value])
utils = SimpleNamespace(clear_session=lambda: None, set_random_seed=set_random_seed)
