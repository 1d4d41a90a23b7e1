"""A recurrent network of the past days."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def build(params: Mapping[str, Any], past: int, known: int) -> "keras.Model":
    """Builds and compiles the network.

    With ``cell: simple``, 12 units, five days and no day of the week, it is the network of *An
    Introduction to Statistical Learning*, chapter 10.

    Args:
        params: ``cell`` (``simple``, ``gru`` or ``lstm``), ``units``, ``layers``, ``window``,
            ``dropout`` and ``recurrent_dropout`` (shares of the inputs and of the state) and
            ``learning_rate``.
        past: Number of columns of the past days.
        known: Number of columns of the day to forecast; 0 for none.
    """
    import keras

    inputs = {"past": keras.Input((params["window"], past), name="past")}
    cells = {"simple": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}
    hidden = inputs["past"]
    for layer in range(params["layers"]):
        hidden = getattr(keras.layers, cells[params["cell"]])(
            params["units"],
            return_sequences=layer < params["layers"] - 1,
            dropout=params["dropout"],
            recurrent_dropout=params["recurrent_dropout"],
        )(hidden)
    if known:
        inputs["known"] = keras.Input((1, known), name="known")
        hidden = keras.layers.Concatenate()([hidden, keras.layers.Flatten()(inputs["known"])])
    output = keras.layers.Dense(1)(hidden)
    model = keras.Model(inputs if known else inputs["past"], output)
    model.compile(keras.optimizers.Adam(params["learning_rate"]), "mse", metrics=["mae"])
    return model
