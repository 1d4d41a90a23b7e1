"""Weights of examples by their classes."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

ClassWeight = Literal["balanced"] | Mapping[int, float] | None


def weights_by_class(
    labels: NDArray[Any], own: "NDArray[Any] | None", class_weight: ClassWeight
) -> "NDArray[Any] | None":
    """Multiplies the weights of examples by those of their classes.

    Args:
        labels: Class of each example from 0, of shape (examples,).
        own: Weight of each example, of shape (examples,); None for equal weights.
        class_weight: Weight by class, 1 for a class without one; or ``balanced``, which makes the
            sum of weights of every class the same and keeps the sum of all; or None.

    Returns:
        Weights of shape (examples,); ``own`` without a class weight.
    """
    if class_weight is None:
        return own
    weights = np.ones(len(labels)) if own is None else np.asarray(own, dtype=float)
    table = np.ones(int(labels.max()) + 1)
    if class_weight == "balanced":
        sums = np.bincount(labels, weights)
        table = np.divide(sums.sum() / np.sum(sums > 0), sums, out=table, where=sums > 0)
    else:
        for label, weight in class_weight.items():
            if 0 <= label < len(table):
                table[label] = weight
    return np.asarray(weights * table[labels])
