"""A faster inner loop for Keras's LSTM on JAX and a CPU: the same function, up to rounding.

Keras leaves the gradient to JAX, which adds to the gradient of the weights after every time step
and reads its input through transposed copies; with recurrent dropout there are eight small
products a step instead of two. Here the gradient is written down: the loop goes back with what the
states need, and the weights get theirs from one large product afterwards. Weights, masks and the
saved model are Keras's own.

The equations are those of Hochreiter and Schmidhuber (1997), "Long Short-Term Memory", with the
forget gate of Gers et al. (2000), in the order i, f, c, o of ``keras.layers.LSTM``.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import keras

_Array = Any
# The gates' own masks, or none; each of shape (batch, features).
_Masks = Sequence[_Array] | None


def accelerate(model: "keras.Model") -> int:
    """Gives a model's LSTM layers the faster loop, wherever it computes what theirs does.

    Layers with other activations, with masked time steps, without bias, of a low precision or on
    an accelerator keep Keras's.

    Args:
        model: A Keras model; how it is saved and loaded does not change.

    Returns:
        How many layers there were.
    """
    import keras

    if keras.backend.backend() != "jax":
        return 0
    import jax

    if jax.default_backend() != "cpu":
        return 0
    found = [layer for layer in _layers(model) if _suits(layer)]
    for layer in found:
        layer.inner_loop = partial(_inner_loop, layer, layer.inner_loop)
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


def _inner_loop(
    layer: Any,
    plain: Callable[..., Any],
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
    weights = [cell.kernel, cell.recurrent_kernel, cell.bias]
    outputs, last, carry = _lstm()(
        layer.return_sequences,
        sequences,
        *map(keras.ops.convert_to_tensor, weights),
        *initial_state,
        input_masks,
        recurrent_masks,
    )
    # Nobody reads the outputs then, but the layer casts them.
    return last, last if outputs is None else outputs, [last, carry]


@cache
def _lstm() -> Callable[..., Any]:
    """The LSTM as a function with a gradient; JAX is imported by the first call.

    Its arguments: whether to return the output of every step, inputs of shape (batch, steps,
    features), kernel (features, 4 units), recurrent kernel (units, 4 units), bias (4 units),
    output and carry before the first step (batch, units), and the masks of input and state. It
    returns outputs of shape (batch, steps, units), or None, and the last output and carry.
    """
    import jax
    import jax.numpy as jnp
    from jax import lax

    def split(array: _Array, axis: int = 1) -> list[_Array]:
        return list(jnp.split(array, 4, axis))

    def at(array: _Array, step: _Array) -> _Array:
        return lax.dynamic_index_in_dim(array, step, 1, keepdims=False)

    def put(array: _Array, value: _Array, step: _Array) -> _Array:
        return lax.dynamic_update_index_in_dim(array, value, step, 1)

    def projected(value: _Array, weight: _Array, masks: _Masks) -> list[_Array]:
        """The value's share of the four gates."""
        if masks is None:
            return split(value @ weight)
        return [(value * m) @ w for m, w in zip(masks, split(weight), strict=True)]

    def returned(gates: Sequence[_Array], weight: _Array, masks: _Masks) -> _Array:
        """The gradient of ``projected`` with respect to the value."""
        if masks is None:
            return jnp.concatenate(gates, 1) @ weight.T
        parts = zip(gates, split(weight), masks, strict=True)
        return sum((gate @ w.T) * m for gate, w, m in parts)

    def collected(values: _Array, gates: _Array, masks: _Masks) -> _Array:
        """The gradient of ``projected``, over all steps, with respect to the weight."""
        features, width = values.shape[-1], gates.shape[-1]
        if masks is None:
            return values.reshape(-1, features).T @ gates.reshape(-1, width)

        # A mask is an example's own and the same in every step, so it can be applied to the
        # example's product instead of its inputs.
        def add(total: _Array, example: tuple[_Array, _Array, _Array]) -> tuple[_Array, None]:
            value, gate, mask = example
            product = (value.T @ gate).reshape(features, 4, width // 4)
            return total + product * mask.T[:, :, None], None

        start = jnp.zeros((features, 4, width // 4), values.dtype)
        total, _ = lax.scan(add, start, (values, gates, jnp.stack(masks, 1)))
        return total.reshape(features, width)

    def run(
        keep: Sequence[bool],
        inputs: _Array,
        kernel: _Array,
        recurrent: _Array,
        bias: _Array,
        output: _Array,
        carry: _Array,
        input_masks: _Masks,
        recurrent_masks: _Masks,
    ) -> tuple[_Array, _Array, list[_Array]]:
        """Goes through all steps; keeps, where told to, each step's h, c, i, f, g and o."""
        biases = split(bias, 0)
        shape = (inputs.shape[0], inputs.shape[1], output.shape[1])

        def step(index: _Array, state: Any) -> Any:
            h, c, kept = state
            ours = projected(at(inputs, index), kernel, input_masks)
            theirs = projected(h, recurrent, recurrent_masks)
            z = [x + y + b for x, y, b in zip(ours, theirs, biases, strict=True)]
            i, f, o = jax.nn.sigmoid(z[0]), jax.nn.sigmoid(z[1]), jax.nn.sigmoid(z[3])
            g = jnp.tanh(z[2])
            c = f * c + i * g
            h = o * jnp.tanh(c)
            news = [
                value for value, wanted in zip((h, c, i, f, g, o), keep, strict=True) if wanted
            ]
            return h, c, [put(old, new, index) for old, new in zip(kept, news, strict=True)]

        empty = [jnp.zeros(shape, inputs.dtype) for wanted in keep if wanted]
        result: tuple[_Array, _Array, list[_Array]]
        result = lax.fori_loop(0, inputs.shape[1], step, (output, carry, empty))
        return result

    def lstm(sequences: bool, *arguments: Any) -> Any:
        h, c, kept = run([sequences] + [False] * 5, *arguments)
        return kept[0] if sequences else None, h, c

    def forward(sequences: bool, *arguments: Any) -> Any:
        h, c, kept = run([True] * 6, *arguments)
        return (kept[0] if sequences else None, h, c), (arguments, kept)

    def backward(sequences: bool, residuals: Any, gradients: Any) -> Any:
        (inputs, kernel, recurrent, _, output, carry, *masks), kept = residuals
        d_outputs, d_last, d_carry = gradients
        input_masks, recurrent_masks = masks
        before = [
            jnp.concatenate([first[:, None], all_[:, :-1]], 1)
            for first, all_ in ((output, kept[0]), (carry, kept[1]))
        ]
        steps = inputs.shape[1]

        def step(back: _Array, state: Any) -> Any:
            index = steps - 1 - back
            dh, dc, d_gates, d_inputs = state
            c, i, f, g, o = (at(array, index) for array in kept[1:])
            if sequences:
                dh = dh + at(d_outputs, index)
            tanh_c = jnp.tanh(c)
            dc = dc + dh * o * (1 - tanh_c * tanh_c)
            dz = [
                dc * g * i * (1 - i),
                dc * at(before[1], index) * f * (1 - f),
                dc * i * (1 - g * g),
                dh * tanh_c * o * (1 - o),
            ]
            d_inputs = put(d_inputs, returned(dz, kernel, input_masks), index)
            d_gates = put(d_gates, jnp.concatenate(dz, 1), index)
            return returned(dz, recurrent, recurrent_masks), dc * f, d_gates, d_inputs

        gates_shape = (*inputs.shape[:2], kernel.shape[1])
        start = (d_last, d_carry, jnp.zeros(gates_shape, inputs.dtype), jnp.zeros_like(inputs))
        dh, dc, d_gates, d_inputs = lax.fori_loop(0, steps, step, start)
        return (
            d_inputs,
            collected(inputs, d_gates, input_masks),
            collected(before[0], d_gates, recurrent_masks),
            d_gates.sum((0, 1)),
            dh,
            dc,
            # Nobody asks for a gradient of random numbers.
            None if input_masks is None else [jnp.zeros_like(mask) for mask in input_masks],
            None
            if recurrent_masks is None
            else [jnp.zeros_like(mask) for mask in recurrent_masks],
        )

    function: Any = jax.custom_vjp(lstm, nondiff_argnums=(0,))
    function.defvjp(forward, backward)
    return cast("Callable[..., Any]", function)
