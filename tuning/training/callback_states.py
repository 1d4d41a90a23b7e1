"""Counters of a task's callbacks, which a checkpoint keeps so that they go on after a resume."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

# A counter, such as the epochs without improvement, or the best value so far.
Counters = dict[str, bool | int | float | str | None]

# Keras changes the sign of this setting once, at the end of the first epoch of every fit.
_NO_COUNTER = "min_delta"


def read(callbacks: "Sequence[keras.callbacks.Callback]") -> list[Counters]:
    """Returns the attributes of each callback that are plain values."""
    import numpy as np

    states: list[Counters] = []
    for callback in callbacks:
        state: Counters = {}
        for name, value in vars(callback).items():
            plain = value.item() if isinstance(value, np.generic) else value
            is_plain = plain is None or isinstance(plain, bool | int | float | str)
            if is_plain and name != _NO_COUNTER:
                state[name] = plain
        states.append(state)
    return states


def restore(
    callbacks: "Sequence[keras.callbacks.Callback]", states: Sequence[Mapping[str, Any]]
) -> None:
    """Sets the attributes of the callbacks as they were read; does nothing without states."""
    if len(callbacks) != len(states):
        return
    for callback, state in zip(callbacks, states, strict=True):
        for name, value in state.items():
            if name in vars(callback):
                setattr(callback, name, value)
