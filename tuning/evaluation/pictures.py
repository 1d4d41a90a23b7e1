"""Shows inputs of the test split in a report: rows of numbers as text, images as pictures."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

MAX_NUMBERS = 40
MIN_SIDE, MAX_SIDE = 4, 512


def text_of(inputs: Any, index: int) -> str:
    """Returns an input as text: its numbers or words, at most ``MAX_NUMBERS`` of each array."""
    if isinstance(inputs, Mapping):
        return "; ".join(f"{name}: {_numbers(array[index])}" for name, array in inputs.items())
    if isinstance(inputs, list | tuple):
        return "; ".join(_numbers(array[index]) for array in inputs)
    return _numbers(inputs[index])


def _numbers(row: Any) -> str:
    values = np.asarray(row).reshape(-1)
    shown = ", ".join(
        f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
        for value in values[:MAX_NUMBERS]
    )
    return shown if len(values) <= MAX_NUMBERS else f"{shown}, … ({len(values)} numbers)"


def picture_of(inputs: Any, index: int) -> str:
    """Returns an input as a PNG picture in a data URI; empty if it is no picture.

    Arrays of shape (examples, height, width) or (examples, height, width, 1 or 3) are pictures.
    """
    shape: tuple[int, ...] = (
        np.shape(inputs) if not isinstance(inputs, Mapping | list | tuple) else ()
    )
    has_colours = len(shape) == 4 and shape[3] in (1, 3)
    if not (len(shape) == 3 or has_colours):
        return ""
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in shape[1:3]):
        return ""
    if len(shape) == 3 and min(shape[1:3]) * 4 < max(shape[1:3]):
        return ""  # a time series of several variables
    from matplotlib.image import imsave

    image = np.asarray(inputs[index], dtype=float)
    low, high = image.min(), image.max()
    scaled = (image - low) / (high - low) if high > low else np.zeros_like(image)
    stream = io.BytesIO()
    imsave(stream, scaled.squeeze(), cmap="gray", vmin=0, vmax=1, format="png")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
