"""A faster inner loop for the LSTM layers of Keras on JAX; results are equal up to rounding.

Keras lets JAX derive the gradient. Here the gradient is explicit: ``cell`` contains one step, and
``cpu`` and ``gpu`` contain the loop over all steps. Weights, masks and the format of the saved
model stay those of Keras.

The equations are those of Hochreiter and Schmidhuber (1997), "Long Short-Term Memory", with the
forget gate of Gers et al. (2000). The gates have the order i, f, c, o of ``keras.layers.LSTM``.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

_Array = Any
# Largest number of units for which the loop was measured to be faster than cuDNN.
LARGEST = 512


def accelerate(model: "keras.Model") -> int:
    """Gives the LSTM layers of a model the faster loop, where its results are the same.

    A layer keeps the loop of Keras if it has other activations, no bias, ``unroll`` or a data type
    other than float32, or if JAX runs neither on a CPU nor on a GPU. On a GPU, a layer also keeps
    it if Keras would use cuDNN and the layer has more than ``LARGEST`` units or demands cuDNN.
    Inputs with masked steps are computed by the loop of Keras.

    Args:
        model: Keras model; saving and loading it do not change.

    Returns:
        Number of layers that have got the faster loop.
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
    layers = [layer for layer in _layers(model) if _suits(layer) and _gains(layer, platform)]
    for layer in layers:
        layer.inner_loop = partial(_inner_loop, layer, layer.inner_loop, lstm)
    return len(layers)


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
    """Returns whether the loop is faster than the loop that Keras would use, as measured."""
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
    """Replaces ``keras.layers.LSTM.inner_loop``; ``plain`` is the loop of Keras."""
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
            # A single mask applies to the inputs of all gates.
            sequences, input_masks = sequences * input_masks[:, None, :], None
        else:
            input_masks = list(input_masks)
    if training and cell.recurrent_dropout:
        recurrent_masks = list(cell.get_recurrent_dropout_mask(initial_state[0]))
    if layer.go_backwards:
        sequences = jnp.flip(sequences, axis=1)
    output, carry = initial_state
    lstm_inputs = LstmInputs(
        inputs=sequences,
        kernel=keras.ops.convert_to_tensor(cell.kernel),
        recurrent=keras.ops.convert_to_tensor(cell.recurrent_kernel),
        bias=keras.ops.convert_to_tensor(cell.bias),
        output=output,
        carry=carry,
        input_masks=input_masks,
        recurrent_masks=recurrent_masks,
    )
    outputs, last, carry = lstm(layer.return_sequences, lstm_inputs)
    # A layer that returns no sequences ignores the outputs, but still casts them.
    return last, last if outputs is None else outputs, [last, carry]
