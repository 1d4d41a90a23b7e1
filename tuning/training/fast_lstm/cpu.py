"""LSTM loop for JAX on a CPU, which keeps the arrays of each step in the cache.

The backward loop computes only the gradients of the gates, states and inputs. One large product
after the loop gives the gradient of the weights. The code that JAX derives adds to the gradient of
the weights after every step instead, and reads its inputs through transposed copies.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tuning.training.fast_lstm.cell import Array, LstmInputs, Masks, step_backward, step_forward


def _split(array: Array, axis: int = 1) -> list[Array]:
    return list(jnp.split(array, 4, axis))


def _at(array: Array, step: Array) -> Array:
    return lax.dynamic_index_in_dim(array, step, 1, keepdims=False)


def _put(array: Array, value: Array, step: Array) -> Array:
    return lax.dynamic_update_index_in_dim(array, value, step, 1)


def _project(value: Array, weight: Array, masks: Masks) -> list[Array]:
    """Returns the product of a value and a weight, split into the four gates."""
    if masks is None:
        return _split(value @ weight)
    return [(value * m) @ w for m, w in zip(masks, _split(weight), strict=True)]


def _gradient_of_value(gates: Sequence[Array], weight: Array, masks: Masks) -> Array:
    """Returns the gradient of ``_project`` with respect to the value."""
    if masks is None:
        return jnp.concatenate(gates, 1) @ weight.T
    parts = zip(gates, _split(weight), masks, strict=True)
    return sum((gate @ w.T) * m for gate, w, m in parts)


def _gradient_of_weight(values: Array, gates: Array, masks: Masks) -> Array:
    """Returns the gradient of ``_project`` over all steps with respect to the weight."""
    features, width = values.shape[-1], gates.shape[-1]
    if masks is None:
        return values.reshape(-1, features).T @ gates.reshape(-1, width)

    # An example has the same mask in all steps. The mask is therefore applied to the product of
    # the example instead of to its inputs.
    def add(total: Array, example: tuple[Array, Array, Array]) -> tuple[Array, None]:
        value, gate, mask = example
        product = (value.T @ gate).reshape(features, 4, width // 4)
        return total + product * mask.T[:, :, None], None

    start = jnp.zeros((features, 4, width // 4), values.dtype)
    total, _ = lax.scan(add, start, (values, gates, jnp.stack(masks, 1)))
    return total.reshape(features, width)


def _run(keep: Sequence[bool], given: LstmInputs) -> tuple[Array, Array, list[Array]]:
    """Computes all steps.

    Args:
        keep: Whether to return the values of all steps, for each of h, c, i, f, g and o.
        given: Inputs, weights, initial state and dropout masks.

    Returns:
        Last output, last carry, and the kept values, each of shape (batch, steps, units).
    """
    inputs, kernel, recurrent, bias, output, carry, input_masks, recurrent_masks = given
    biases = _split(bias, 0)
    shape = (inputs.shape[0], inputs.shape[1], output.shape[1])

    def step(index: Array, state: Any) -> Any:
        h, c, kept = state
        from_inputs = _project(_at(inputs, index), kernel, input_masks)
        from_state = _project(h, recurrent, recurrent_masks)
        z = [x + y + b for x, y, b in zip(from_inputs, from_state, biases, strict=True)]
        gates, c, h = step_forward(z, c)
        values = [value for value, flag in zip((h, c, *gates), keep, strict=True) if flag]
        return h, c, [_put(old, new, index) for old, new in zip(kept, values, strict=True)]

    empty = [jnp.zeros(shape, inputs.dtype) for flag in keep if flag]
    result: tuple[Array, Array, list[Array]]
    result = lax.fori_loop(0, inputs.shape[1], step, (output, carry, empty))
    return result


def _plain(sequences: bool, given: LstmInputs) -> tuple[Array | None, Array, Array]:
    """Computes an LSTM.

    Args:
        sequences: Whether to return the output of every step.
        given: Inputs, weights, initial state and dropout masks.

    Returns:
        Outputs of all steps, of shape (batch, steps, units), or None; last output; last carry.
    """
    h, c, kept = _run([sequences] + [False] * 5, given)
    return kept[0] if sequences else None, h, c


def _forward(sequences: bool, given: LstmInputs) -> Any:
    h, c, kept = _run([True] * 6, given)
    return (kept[0] if sequences else None, h, c), (given, kept)


def _backward(sequences: bool, residuals: Any, gradients: Any) -> tuple[LstmInputs]:
    given, kept = residuals
    inputs, kernel, recurrent, _, output, carry, input_masks, recurrent_masks = given
    d_outputs, d_last, d_carry = gradients
    before = [
        jnp.concatenate([first[:, None], all_[:, :-1]], 1)
        for first, all_ in ((output, kept[0]), (carry, kept[1]))
    ]
    steps = inputs.shape[1]

    def step(turn: Array, state: Any) -> Any:
        index = steps - 1 - turn
        dh, dc, d_gates, d_inputs = state
        c, *gates = (_at(array, index) for array in kept[1:])
        if sequences:
            dh = dh + _at(d_outputs, index)
        dz, dc = step_backward(gates, c, _at(before[1], index), dh, dc)
        d_inputs = _put(d_inputs, _gradient_of_value(dz, kernel, input_masks), index)
        d_gates = _put(d_gates, jnp.concatenate(dz, 1), index)
        return _gradient_of_value(dz, recurrent, recurrent_masks), dc, d_gates, d_inputs

    gates_shape = (*inputs.shape[:2], kernel.shape[1])
    start = (d_last, d_carry, jnp.zeros(gates_shape, inputs.dtype), jnp.zeros_like(inputs))
    dh, dc, d_gates, d_inputs = lax.fori_loop(0, steps, step, start)
    gradient = LstmInputs(
        d_inputs,
        _gradient_of_weight(inputs, d_gates, input_masks),
        _gradient_of_weight(before[0], d_gates, recurrent_masks),
        d_gates.sum((0, 1)),
        dh,
        dc,
        # The gradient of the random masks is not needed.
        *jax.tree.map(jnp.zeros_like, (input_masks, recurrent_masks)),
    )
    return (gradient,)


lstm: Any = jax.custom_vjp(_plain, nondiff_argnums=(0,))
lstm.defvjp(_forward, _backward)
