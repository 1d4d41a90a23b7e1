"""A faster inner loop for Keras's LSTM on JAX: the same function, up to rounding.

Keras leaves the gradient to JAX; here it is written down: one step in ``cell``, and the loop over
all steps in ``cpu`` and ``gpu``. Weights, masks and the saved model are Keras's own.

The equations are those of Hochreiter and Schmidhuber (1997), "Long Short-Term Memory", with the
forget gate of Gers et al. (2000), in the order i, f, c, o of ``keras.layers.LSTM``.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

_Array = Any
# Units up to which it was compared with cuDNN's, and still faster.
LARGEST = 512


def accelerate(model: "keras.Model") -> int:
    """Gives a model's LSTM layers the faster loop, wherever it computes what theirs does.

    Layers with other activations, with masked time steps, without bias, of a low precision or on
    neither a CPU nor a GPU keep Keras's, and so do the large ones for which Keras has cuDNN's.

    Args:
        model: A Keras model; how it is saved and loaded does not change.

    Returns:
        How many layers there were.
    """
    import keras

    if keras.backend.backend() != "jax":
        return 0
    import jax

    platform = jax.default_backend()
    if platform == "cpu":
        from tuning.training.fast_lstm.cpu import lstm
    elif platform == "gpu":
        from tuning.training.fast_lstm.gpu import lstm
    else:
        return 0
    found = [layer for layer in _layers(model) if _suits(layer) and _gains(layer, platform)]
    for layer in found:
        layer.inner_loop = partial(_inner_loop, layer, layer.inner_loop, lstm)
    return len(found)


def _layers(layer: Any) -> "Iterator[keras.Layer]":
    yield layer
    parts = [*getattr(layer, "layers", ())]
    # Bidirectional and TimeDistributed have no `layers`.
    parts += [getattr(layer, name, None) for name in ("forward_layer", "backward_layer", "layer")]
    for part in parts:
        if part is not None:
            yield from _layers(part)


def _suits(layer: Any) -> bool:
    import keras

    return (
        type(layer) is keras.layers.LSTM
        and "inner_loop" not in vars(layer)
        and layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and layer.use_bias
        and not layer.unroll
        and layer.compute_dtype == "float32"
    )


def _gains(layer: Any, platform: str) -> bool:
    """Whether the loop was measured to be faster than cuDNN's, where that is what Keras takes."""
    cudnn = platform == "gpu" and not layer.cell.recurrent_dropout
    return not cudnn or (layer.units <= LARGEST and layer.use_cudnn is not True)


def _inner_loop(
    layer: Any,
    plain: Callable[..., Any],
    lstm: Callable[..., Any],
    sequences: _Array,
    initial_state: Sequence[_Array],
    mask: _Array,
    training: bool = False,
) -> tuple[_Array, _Array, list[_Array]]:
    """Stands for ``keras.layers.LSTM.inner_loop``."""
    if any(part is not None for part in (mask if isinstance(mask, list | tuple) else [mask])):
        result: tuple[_Array, _Array, list[_Array]]
        result = plain(sequences, initial_state, mask, training=training)
        return result
    import jax.numpy as jnp
    import keras

    from tuning.training.fast_lstm.cell import LstmInputs

    cell = layer.cell
    input_masks = recurrent_masks = None
    if training and cell.dropout:
        input_masks = cell.get_dropout_mask(sequences[:, 0, :])
        if not isinstance(input_masks, list):
            # One mask for all gates is the mask of a whole input.
            sequences, input_masks = sequences * input_masks[:, None, :], None
        else:
            input_masks = list(input_masks)
    if training and cell.recurrent_dropout:
        recurrent_masks = list(cell.get_recurrent_dropout_mask(initial_state[0]))
    if layer.go_backwards:
        sequences = jnp.flip(sequences, axis=1)
    output, carry = initial_state
    given = LstmInputs(
        inputs=sequences,
        kernel=keras.ops.convert_to_tensor(cell.kernel),
        recurrent=keras.ops.convert_to_tensor(cell.recurrent_kernel),
        bias=keras.ops.convert_to_tensor(cell.bias),
        output=output,
        carry=carry,
        input_masks=input_masks,
        recurrent_masks=recurrent_masks,
    )
    outputs, last, carry = lstm(layer.return_sequences, given)
    # Nobody reads the outputs then, but the layer casts them.
    return last, last if outputs is None else outputs, [last, carry]
