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

from tuning.training.fast_lstm.cell import Array, LstmInputs, step_backward, step_forward

# Steps a round. Sixteen launch no faster and take twice as long to compile.
UNROLL = 8


def lstm(sequences: bool, given: LstmInputs) -> tuple[Array | None, Array, Array]:
    """Computes an LSTM, with a gradient.

    Args:
        sequences: Whether to return the output of every step.
        given: All else.

    Returns:
        Outputs of shape (batch, steps, units), or None, and the last output and carry.
    """
    gates = _gates_of_inputs(given)
    masks = None if given.recurrent_masks is None else jnp.stack(given.recurrent_masks)
    weights = _by_gate(given.recurrent)
    outputs, last, carry = _recurrence(sequences, gates, weights, given.output, given.carry, masks)
    return None if outputs is None else outputs.swapaxes(0, 1), last, carry


def _by_gate(weight: Array) -> Array:
    """From shape (features, 4 units) to (4, features, units)."""
    features, width = weight.shape
    return weight.reshape(features, 4, width // 4).swapaxes(0, 1)


def _gates_of_inputs(given: LstmInputs) -> Array:
    """The inputs' share of the gates, of shape (steps, 4, batch, units)."""
    inputs, kernel, bias = given.inputs, given.kernel, given.bias
    if given.input_masks is None:
        all_ = inputs @ kernel + bias
        return all_.reshape(*all_.shape[:2], 4, -1).transpose(1, 2, 0, 3)
    parts = [
        (inputs * mask[:, None]) @ weight
        for mask, weight in zip(given.input_masks, _by_gate(kernel), strict=True)
    ]
    return jnp.stack(parts).transpose(2, 0, 1, 3) + bias.reshape(4, 1, -1)


def _gates_of_state(output: Array, weights: Array, masks: Array | None) -> Array:
    """The state's share of the gates, of shape (4, batch, units)."""
    if masks is None:
        return jnp.einsum("bu,kuv->kbv", output, weights)
    return jnp.einsum("kbu,kuv->kbv", output * masks, weights)


def _run(
    keep: Sequence[bool],
    gates: Array,
    weights: Array,
    output: Array,
    carry: Array,
    masks: Array | None,
) -> tuple[tuple[Array, Array], list[Array]]:
    """Goes through all steps; keeps, where told to, each step's h, c and activated gates."""

    def step(state: tuple[Array, Array], ours: Array) -> Any:
        h, c = state
        z = ours + _gates_of_state(h, weights, masks)
        activated, c, h = step_forward(z, c)
        news = (h, c, jnp.stack(activated))
        return (h, c), [new for new, wanted in zip(news, keep, strict=True) if wanted]

    result: tuple[tuple[Array, Array], list[Array]]
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
    outputs_before = jnp.concatenate([output[None], outputs[:-1]])
    carries_before = jnp.concatenate([carry[None], carries[:-1]])

    def step(state: tuple[Array, Array], kept: Any) -> Any:
        dh, dc = state
        activated, c, c_before, d_output = kept
        if sequences:
            dh = dh + d_output
        d_gates, dc = step_backward(activated, c, c_before, dh, dc)
        dz = jnp.stack(d_gates)
        if masks is None:
            dh = jnp.einsum("kbv,kuv->bu", dz, weights)
        else:
            dh = (jnp.einsum("kbv,kuv->kbu", dz, weights) * masks).sum(0)
        return (dh, dc), dz

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
    return d_gates, d_weights, dh, dc, jax.tree.map(jnp.zeros_like, masks)


# Its arguments: whether to return every step's output; the inputs' share of the gates, of shape
# (steps, 4, batch, units); weights (4, units, units); output and carry (batch, units); masks
# (4, batch, units), or None.
_recurrence: Any = jax.custom_vjp(_plain, nondiff_argnums=(0,))
_recurrence.defvjp(_forward, _backward)
