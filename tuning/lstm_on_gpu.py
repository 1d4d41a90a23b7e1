"""The LSTM's loop for JAX on a GPU: few kernels a time step, and a gradient written down.

A time step of a model that is tuned is far too small to fill a GPU: what counts is how many
kernels it launches. So whatever does not depend on the state, the inputs' share of the gates and
the gradient of the weights, is computed for all steps in one product, and a round of the loop is
several steps long.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

_Array = Any
# The gates' own masks, or none; each of shape (batch, features).
_Masks = Sequence[_Array] | None

# Steps a round. Sixteen launch no faster and take twice as long to compile.
UNROLL = 8


def lstm(
    sequences: bool,
    inputs: _Array,
    kernel: _Array,
    recurrent: _Array,
    bias: _Array,
    output: _Array,
    carry: _Array,
    input_masks: _Masks,
    recurrent_masks: _Masks,
) -> tuple[_Array | None, _Array, _Array]:
    """Computes an LSTM, with a gradient.

    Args:
        sequences: Whether to return the output of every step.
        inputs: Of shape (batch, steps, features).
        kernel: Of shape (features, 4 units), the gates in the order i, f, c, o.
        recurrent: Of shape (units, 4 units).
        bias: Of shape (4 units,).
        output: Before the first step, of shape (batch, units).
        carry: Likewise.
        input_masks: Four of shape (batch, features), or None.
        recurrent_masks: Four of shape (batch, units), or None.

    Returns:
        Outputs of shape (batch, steps, units), or None, and the last output and carry.
    """
    gates = _gates_of_inputs(inputs, kernel, bias, input_masks)
    masks = None if recurrent_masks is None else jnp.stack(recurrent_masks)
    outputs, last, carry = _recurrence(sequences, gates, _by_gate(recurrent), output, carry, masks)
    return None if outputs is None else outputs.swapaxes(0, 1), last, carry


def _by_gate(weight: _Array) -> _Array:
    """From shape (features, 4 units) to (4, features, units)."""
    features, width = weight.shape
    return weight.reshape(features, 4, width // 4).swapaxes(0, 1)


def _gates_of_inputs(inputs: _Array, kernel: _Array, bias: _Array, masks: _Masks) -> _Array:
    """The inputs' share of the gates, of shape (steps, 4, batch, units)."""
    if masks is None:
        all_ = inputs @ kernel + bias
        return all_.reshape(*all_.shape[:2], 4, -1).transpose(1, 2, 0, 3)
    parts = [
        (inputs * mask[:, None]) @ weight
        for mask, weight in zip(masks, _by_gate(kernel), strict=True)
    ]
    return jnp.stack(parts).transpose(2, 0, 1, 3) + bias.reshape(4, 1, -1)


def _gates_of_state(output: _Array, weights: _Array, masks: _Array | None) -> _Array:
    """The state's share of the gates, of shape (4, batch, units)."""
    if masks is None:
        return jnp.einsum("bu,kuv->kbv", output, weights)
    return jnp.einsum("kbu,kuv->kbv", output * masks, weights)


def _run(
    keep: Sequence[bool],
    gates: _Array,
    weights: _Array,
    output: _Array,
    carry: _Array,
    masks: _Array | None,
) -> tuple[tuple[_Array, _Array], list[_Array]]:
    """Goes through all steps; keeps, where told to, each step's h, c and activated gates."""

    def step(state: tuple[_Array, _Array], ours: _Array) -> Any:
        h, c = state
        z = ours + _gates_of_state(h, weights, masks)
        i, f, o = jax.nn.sigmoid(z[0]), jax.nn.sigmoid(z[1]), jax.nn.sigmoid(z[3])
        g = jnp.tanh(z[2])
        c = f * c + i * g
        h = o * jnp.tanh(c)
        news = (h, c, jnp.stack([i, f, g, o]))
        return (h, c), [new for new, wanted in zip(news, keep, strict=True) if wanted]

    result: tuple[tuple[_Array, _Array], list[_Array]]
    result = lax.scan(step, (output, carry), gates, unroll=UNROLL)
    return result


def _plain(sequences: bool, *arguments: Any) -> Any:
    (h, c), kept = _run([sequences, False, False], *arguments)
    return kept[0] if sequences else None, h, c


def _forward(sequences: bool, *arguments: Any) -> Any:
    (h, c), kept = _run([True] * 3, *arguments)
    return (kept[0] if sequences else None, h, c), (arguments[1:], kept)


def _backward(sequences: bool, residuals: Any, gradients: Any) -> Any:
    (weights, output, carry, masks), (outputs, carries, gates) = residuals
    d_outputs, d_last, d_carry = gradients
    if not sequences:
        # Nothing to add in any step.
        d_outputs = None
    outputs_before = jnp.concatenate([output[None], outputs[:-1]])
    carries_before = jnp.concatenate([carry[None], carries[:-1]])

    def step(state: tuple[_Array, _Array], kept: Any) -> Any:
        dh, dc = state
        (i, f, g, o), c, c_before, d_output = kept
        if d_output is not None:
            dh = dh + d_output
        tanh_c = jnp.tanh(c)
        dc = dc + dh * o * (1 - tanh_c * tanh_c)
        dz = jnp.stack(
            [
                dc * g * i * (1 - i),
                dc * c_before * f * (1 - f),
                dc * i * (1 - g * g),
                dh * tanh_c * o * (1 - o),
            ]
        )
        if masks is None:
            dh = jnp.einsum("kbv,kuv->bu", dz, weights)
        else:
            dh = (jnp.einsum("kbv,kuv->kbu", dz, weights) * masks).sum(0)
        return (dh, dc * f), dz

    (dh, dc), d_gates = lax.scan(
        step,
        (d_last, d_carry),
        (gates, carries, carries_before, d_outputs),
        reverse=True,
        unroll=UNROLL,
    )
    if masks is None:
        d_weights = jnp.einsum("tbu,tkbv->kuv", outputs_before, d_gates)
    else:
        masked = outputs_before[:, None] * masks
        d_weights = jnp.einsum("tkbu,tkbv->kuv", masked, d_gates)
    # Nobody asks for a gradient of random numbers.
    return d_gates, d_weights, dh, dc, None if masks is None else jnp.zeros_like(masks)


# Its arguments: whether to return every step's output; the inputs' share of the gates, of shape
# (steps, 4, batch, units); weights (4, units, units); output and carry (batch, units); masks
# (4, batch, units), or None.
_recurrence: Any = jax.custom_vjp(_plain, nondiff_argnums=(0,))
_recurrence.defvjp(_forward, _backward)
