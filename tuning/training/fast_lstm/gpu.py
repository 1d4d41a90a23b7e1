"""LSTM loop for JAX on a GPU, with few kernels per step and an explicit gradient.

A step of a small model cannot fill a GPU, so the number of launched kernels determines the speed.
Values that do not depend on the state are therefore computed for all steps in one product: the
share of the inputs in the gates, and the gradient of the weights. One round of the loop computes
several steps.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tuning.training.fast_lstm.cell import Array, LstmInputs, step_backward, step_forward

# Steps per round of the loop. Sixteen steps are not faster and take twice as long to compile.
UNROLL = 8


def lstm(sequences: bool, given: LstmInputs) -> tuple[Array | None, Array, Array]:
    """Computes an LSTM for which JAX uses an explicit gradient.

    Args:
        sequences: Whether to return the output of every step.
        given: Inputs, weights, initial state and dropout masks.

    Returns:
        Outputs of all steps, of shape (batch, steps, units), or None; last output; last carry.
    """
    gates = _gates_of_inputs(given)
    masks = None if given.recurrent_masks is None else jnp.stack(given.recurrent_masks)
    weights = _by_gate(given.recurrent)
    outputs, last, carry = _recurrence(sequences, gates, weights, given.output, given.carry, masks)
    return None if outputs is None else outputs.swapaxes(0, 1), last, carry


def _by_gate(weight: Array) -> Array:
    """Returns the weight of shape (features, 4 units) in the shape (4, features, units)."""
    features, width = weight.shape
    return weight.reshape(features, 4, width // 4).swapaxes(0, 1)


def _gates_of_inputs(given: LstmInputs) -> Array:
    """Returns the share of the inputs in the gates, of shape (steps, 4, batch, units)."""
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
    """Returns the share of the state in the gates, of shape (4, batch, units)."""
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
    """Computes all steps.

    Args:
        keep: Whether to return the values of all steps, for each of h, c and the activated gates.
        gates: Share of the inputs in the gates, of shape (steps, 4, batch, units).
        weights: Weights of the state, of shape (4, units, units).
        output: Output before the first step, of shape (batch, units).
        carry: Carry before the first step, of shape (batch, units).
        masks: Dropout masks of the state, of shape (4, batch, units); None without dropout.

    Returns:
        Last output and carry, and the kept values with the steps as first axis.
    """

    def step(state: tuple[Array, Array], from_inputs: Array) -> Any:
        h, c = state
        z = from_inputs + _gates_of_state(h, weights, masks)
        activated, c, h = step_forward(z, c)
        values = (h, c, jnp.stack(activated))
        return (h, c), [value for value, flag in zip(values, keep, strict=True) if flag]

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
    # The gradient of the random masks is not needed.
    return d_gates, d_weights, dh, dc, jax.tree.map(jnp.zeros_like, masks)


# The first argument says whether to return the output of every step; `_run` describes the others.
_recurrence: Any = jax.custom_vjp(_plain, nondiff_argnums=(0,))
_recurrence.defvjp(_forward, _backward)
