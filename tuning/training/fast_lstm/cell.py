"""Common parts of both LSTM loops on JAX: their inputs, and the arithmetic of one step."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = Any
# One dropout mask per gate, each of shape (batch, features); None without dropout.
Masks = Sequence[Array] | None


class LstmInputs(NamedTuple):
    """Inputs, weights, initial state and dropout masks of an LSTM.

    Attributes:
        inputs: Input sequences of shape (batch, steps, features).
        kernel: Weights of the inputs, of shape (features, 4 units); gates in the order i, f, c, o.
        recurrent: Weights of the state, of shape (units, 4 units).
        bias: Biases of the gates, of shape (4 units,).
        output: Output before the first step, of shape (batch, units).
        carry: Carry before the first step, of shape (batch, units).
        input_masks: Four dropout masks of shape (batch, features); None without dropout.
        recurrent_masks: Four dropout masks of shape (batch, units); None without dropout.
    """

    inputs: Array
    kernel: Array
    recurrent: Array
    bias: Array
    output: Array
    carry: Array
    input_masks: Masks
    recurrent_masks: Masks


def step_forward(z: Sequence[Array], carry: Array) -> tuple[list[Array], Array, Array]:
    """Computes one step from the inputs of the gates.

    Args:
        z: Four inputs of the gates, in the order i, f, c, o and of equal shape.
        carry: Carry of the previous step, of the same shape.

    Returns:
        Activated gates in the same order, new carry, and output.
    """
    i, f, o = jax.nn.sigmoid(z[0]), jax.nn.sigmoid(z[1]), jax.nn.sigmoid(z[3])
    g = jnp.tanh(z[2])
    carry = f * carry + i * g
    return [i, f, g, o], carry, o * jnp.tanh(carry)


def step_backward(
    gates: Sequence[Array], carry: Array, before: Array, d_output: Array, d_carry: Array
) -> tuple[list[Array], Array]:
    """Computes the gradient of ``step_forward``.

    Args:
        gates: Activated gates that the step returned.
        carry: Carry that the step returned.
        before: Carry of the previous step.
        d_output: Gradient with respect to the output.
        d_carry: Gradient with respect to the carry that the step returned.

    Returns:
        Gradients with respect to the four inputs of the gates, and to the carry of the previous
        step.
    """
    i, f, g, o = gates
    tanh_c = jnp.tanh(carry)
    d_carry = d_carry + d_output * o * (1 - tanh_c * tanh_c)
    d_z = [
        d_carry * g * i * (1 - i),
        d_carry * before * f * (1 - f),
        d_carry * i * (1 - g * g),
        d_output * tanh_c * o * (1 - o),
    ]
    return d_z, d_carry * f
