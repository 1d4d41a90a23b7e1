"""Which models can be judged is read from the models themselves."""

from collections.abc import Callable
from typing import Any

import pytest

from tuning.core.errors import BadInputError
from tuning.metrics.outputs import check_one_sigmoid_unit


def sequential(*layers: Any) -> Any:
    import keras

    return keras.Sequential([keras.layers.Input((3,)), *layers])


def dense(units: int = 1, activation: Any = None, **options: Any) -> Any:
    import keras

    return keras.layers.Dense(units, activation=activation, **options)


def functional() -> Any:
    import keras

    inputs = keras.layers.Input((3,))
    return keras.Model(inputs, keras.ops.sigmoid(dense()(inputs)))


def nested() -> Any:
    import keras

    inputs = keras.layers.Input((3,))
    return keras.Model(inputs, sequential(dense(1, "sigmoid"))(inputs))


def mixed_precision() -> Any:
    import keras

    return sequential(dense(1, "sigmoid"), keras.layers.Activation("linear", dtype="float32"))


def separate_activation() -> Any:
    import keras

    return sequential(dense(), keras.layers.Activation("sigmoid"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: sequential(dense(1, "sigmoid")),
        functional,
        nested,
        mixed_precision,
        separate_activation,
    ],
)
def test_one_sigmoid_unit_can_be_judged_however_it_is_written(make: Callable[[], Any]) -> None:
    check_one_sigmoid_unit(make())


def two_outputs() -> Any:
    import keras

    inputs = keras.layers.Input((3,))
    return keras.Model(inputs, [dense(1, "sigmoid")(inputs), dense(1, "sigmoid")(inputs)])


def subclassed() -> Any:
    import keras

    class Model(keras.Model):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return inputs

    return Model()


def doubled() -> Any:
    import keras

    return sequential(dense(1, "sigmoid"), keras.layers.Rescaling(2.0))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: sequential(dense()), "ends in linear"),
        (lambda: sequential(dense(1, "relu")), "ends in relu"),
        (lambda: sequential(dense(1, "tanh")), "ends in tanh"),
        (lambda: sequential(dense(10, "softmax")), r"has an output of shape \(None, 10\)"),
        (lambda: sequential(dense(2, "softmax")), r"has an output of shape \(None, 2\)"),
        (lambda: sequential(dense(3, "sigmoid")), r"has an output of shape \(None, 3\)"),
        (two_outputs, "has 2 outputs"),
        (subclassed, "is subclassed, or not built"),
        (doubled, "ends in a Rescaling layer"),
        (lambda: "no model", "is a str and not a keras.Model"),
    ],
)
def test_every_other_model_is_refused_with_what_it_ends_in(
    make: Callable[[], Any], reason: str
) -> None:
    with pytest.raises(BadInputError, match=f"task: the model {reason}.*Only binary classifiers"):
        check_one_sigmoid_unit(make())
