"""What the loss and the last layer of a compiled Keras model say about its outputs."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import keras

LossFamily = Literal["binary", "categorical", "regression", "unknown"]
UNKNOWN = "unknown"  # activation of a model whose layers are not known

# Names of Keras's losses without underscores.
_FAMILIES: dict[LossFamily, tuple[str, ...]] = {
    "binary": ("binarycrossentropy", "bce", "binaryfocalcrossentropy"),
    "categorical": (
        "categoricalcrossentropy",
        "categoricalfocalcrossentropy",
        "sparsecategoricalcrossentropy",
        "kldivergence",
        "kld",
        "kullbackleiblerdivergence",
    ),
    "regression": (
        "meansquarederror",
        "mse",
        "meanabsoluteerror",
        "mae",
        "meanabsolutepercentageerror",
        "mape",
        "meansquaredlogarithmicerror",
        "msle",
        "huber",
        "logcosh",
        "poisson",
    ),
}
# Layers that do not change the values, if they have no activation or a linear one.
_NEUTRAL = ("Activation", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze")


def loss_of(model: "keras.Model", index: int, name: str) -> Any:
    """Returns the loss with which a model was compiled for one of its outputs; None if unknown."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, Mapping):
        return loss.get(name)
    if isinstance(loss, list | tuple):
        return loss[index] if index < len(loss) else None
    return loss


def meaning_of_loss(model: "keras.Model", index: int, name: str) -> tuple[LossFamily, bool]:
    """Returns the family of an output's loss, and whether it takes logits.

    Args:
        model: Compiled model.
        index: Position of the output.
        name: Name of the output.
    """
    loss = loss_of(model, index, name)
    if loss is None:
        return "unknown", False
    key = keras_name(loss)
    families: list[LossFamily] = [each for each, names in _FAMILIES.items() if key in names]
    family = families[0] if families else "unknown"
    return family, bool(getattr(loss, "from_logits", False))


def keras_name(loss: Any) -> str:
    """Returns the name of a loss of Keras in lower case without underscores; otherwise empty."""
    import keras

    if isinstance(loss, str):
        text = loss
    elif isinstance(loss, keras.losses.Loss):
        own = next((c for c in type(loss).__mro__ if c.__module__.startswith("keras.")), None)
        text = own.__name__ if own is not None else ""
    elif getattr(loss, "__module__", "").startswith("keras."):
        text = getattr(loss, "__name__", "")
    else:
        return ""
    return re.sub(r"_", "", text).lower()


def last_activation(tensor: Any) -> str:
    """Returns the name of the function that computed an output tensor of a functional model."""
    import keras

    operation, node_index, _ = tensor._keras_history
    if isinstance(operation, keras.Model):
        inner = getattr(operation, "outputs", None)
        return last_activation(inner[0]) if inner else UNKNOWN
    kind = type(operation).__name__
    if kind in ("Sigmoid", "Softmax"):  # keras.ops and keras.layers
        return kind.lower()
    activation = getattr(operation, "activation", None)
    name = getattr(activation, "__name__", type(activation).__name__)
    if kind in _NEUTRAL and (activation is None or name == "linear"):
        return last_activation(operation._inbound_nodes[node_index].input_tensors[0])
    return name if activation is not None else f"that of a {kind} layer"


def is_mean_over_examples(model: "keras.Model") -> bool:
    """Returns whether the training loss is surely a mean over independent examples.

    It is not if the user's code computes the loss or a step of the training, if a loss is summed
    over a batch, or if a layer uses statistics of the batch.
    """
    import keras

    known = {name for names in _FAMILIES.values() for name in names}
    losses = keras.tree.flatten(getattr(model, "loss", None))
    if not losses or any(keras_name(loss) not in known for loss in losses):
        return False
    reductions = {getattr(loss, "reduction", "mean") for loss in losses}
    if not reductions <= {"mean", "sum_over_batch_size", "mean_with_sample_weight"}:
        return False
    parts = [model, *model._flatten_layers(include_self=False)]
    # A class of the user may add a loss, or override the step of the training.
    is_known = all(type(part).__module__.startswith(("keras.", "tuning.")) for part in parts)
    return is_known and not any(_sees_the_batch(part) for part in parts)


def _sees_the_batch(layer: Any) -> bool:
    name = type(layer).__name__
    return ("Normalization" in name and name not in _ROW_NORMALISATIONS) or bool(
        getattr(layer, "activity_regularizer", None)
    )


# Normalisations that use the values of one example only.
_ROW_NORMALISATIONS = (
    "LayerNormalization",
    "RMSNormalization",
    "UnitNormalization",
    "GroupNormalization",
    "Normalization",
)
