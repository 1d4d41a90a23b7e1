"""What both loops of the LSTM on JAX share: what they are given, and the arithmetic of a step."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = Any
# The gates' own masks, or none; each of shape (batch, features).
Masks = Sequence[Array] | None


class LstmInputs(NamedTuple):
    """What an LSTM is computed from.

    Attributes:
        inputs: Of shape (batch, steps, features).
        kernel: Of shape (features, 4 units), the gates in the order i, f, c, o.
        recurrent: Of shape (units, 4 units).
        bias: Of shape (4 units,).
        output: Before the first step, of shape (batch, units).
        carry: Likewise.
        input_masks: Four of shape (batch, features), or None.
        recurrent_masks: Four of shape (batch, units), or None.
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
    """One step, from what the gates are given.

    Args:
        z: Four of any one shape, in the order i, f, c, o.
        carry: Of the step before, of the same shape.

    Returns:
        The gates i, f, c and o, the carry and the output.
    """
    i, f, o = jax.nn.sigmoid(z[0]), jax.nn.sigmoid(z[1]), jax.nn.sigmoid(z[3])
    g = jnp.tanh(z[2])
    carry = f * carry + i * g
    return [i, f, g, o], carry, o * jnp.tanh(carry)


def step_backward(
    gates: Sequence[Array], carry: Array, before: Array, d_output: Array, d_carry: Array
) -> tuple[list[Array], Array]:
    """The gradient of ``step_forward``.

    Args:
        gates: As it returned them.
        carry: Likewise.
        before: The carry that it was given.
        d_output: The gradient of the output.
        d_carry: That of the carry.

    Returns:
        The gradient of the four, and that of the carry before.
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
