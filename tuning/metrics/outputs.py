"""Checks of the outputs of a Keras model."""

from typing import TYPE_CHECKING, Any

from tuning.core.errors import BadInputError

if TYPE_CHECKING:
    import keras

# Layers that do not change the values, if they have no activation or a linear one.
_NEUTRAL = ("Activation", "Flatten", "Identity", "Reshape", "Squeeze")


def check_one_sigmoid_unit(model: "keras.Model") -> None:
    """Checks that a model ends in one sigmoid unit, so that its output is a probability.

    Args:
        model: Model to check.

    Raises:
        BadInputError: The model ends in something else; the message says in what.
    """
    problem = _problem(model)
    if problem:
        raise BadInputError(
            f"task: the model {problem}. Only binary classifiers can be judged: functional or "
            "sequential models that end in one sigmoid unit, such as "
            "keras.layers.Dense(1, activation='sigmoid')"
        )


def _problem(model: "keras.Model") -> str:
    """Returns why a model cannot be judged; empty if it can."""
    import keras

    if not isinstance(model, keras.Model):
        return f"is a {type(model).__name__} and not a keras.Model"
    try:
        outputs = model.outputs
    except (AttributeError, ValueError):
        outputs = None
    if not outputs:
        return "is subclassed, or not built, so its outputs are unknown"
    if len(outputs) > 1:
        return f"has {len(outputs)} outputs"
    shape = tuple(outputs[0].shape)
    if len(shape) != 2 or shape[1] != 1:
        return f"has an output of shape {shape} instead of (None, 1)"
    activation = _last_activation(outputs[0])
    return "" if activation == "sigmoid" else f"ends in {activation} instead of a sigmoid"


def _last_activation(output: Any) -> str:
    """Returns the name of the function that computed an output tensor."""
    import keras

    operation, node_index, _ = output._keras_history
    if isinstance(operation, keras.Model):
        return _last_activation(operation.outputs[0])
    kind = type(operation).__name__
    if kind == "Sigmoid":  # keras.ops.sigmoid
        return "sigmoid"
    activation = getattr(operation, "activation", None)
    name = getattr(activation, "__name__", type(activation).__name__)
    if kind in _NEUTRAL and (activation is None or name == "linear"):
        return _last_activation(operation._inbound_nodes[node_index].input_tensors[0])
    return name if activation is not None else f"a {kind} layer"
