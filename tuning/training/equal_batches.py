"""Batches of equal size, because JAX compiles its programs again for every batch size."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.core.task import Examples

if TYPE_CHECKING:
    import keras

# Smallest batch size of an evaluation.
EVALUATION_BATCH = 256


def evaluation_batch(rows: int) -> int:
    """Returns a batch size that divides the rows, so that no smaller last batch is compiled.

    Args:
        rows: Number of examples.

    Returns:
        The smallest divisor of ``rows`` from 256 to 511, or 256 if there is no such divisor.
    """
    sizes = range(EVALUATION_BATCH, 2 * EVALUATION_BATCH)
    return next((size for size in sizes if rows % size == 0), EVALUATION_BATCH)


def training_data(examples: Examples, batch_size: int) -> dict[str, Any]:
    """Returns the arguments of ``model.fit`` that define the training data and its batches.

    On JAX, a smaller last batch is filled with copies of its examples, if all of its examples can
    be repeated equally often. Gradients are means over the batch, so they stay the same, also with
    batch normalization. Two things differ: dropout draws a mask for each copy, and the training
    metrics of Keras count the copies. The examples are shuffled in every epoch, in the order that
    Keras itself would draw.

    Args:
        examples: Inputs and targets, both of shape (rows, ...).
        batch_size: Number of examples per batch.

    Returns:
        Arguments of ``model.fit`` by name.
    """
    import keras

    rows = len(examples[0])
    rest = rows % batch_size
    if keras.backend.backend() == "jax" and rows > batch_size and rest and not batch_size % rest:
        return {"x": _equal_batches(examples, batch_size), "shuffle": False}
    inputs, targets = examples
    return {"x": inputs, "y": targets, "batch_size": batch_size}


def _equal_batches(examples: Examples, batch_size: int) -> "keras.utils.PyDataset":
    import keras

    rows = len(examples[0])

    class EqualBatches(keras.utils.PyDataset):  # type: ignore[misc]
        @property
        def num_batches(self) -> int:
            return -(-rows // batch_size)

        def on_epoch_begin(self) -> None:
            self._order = np.random.permutation(rows)

        def __getitem__(self, index: int) -> Examples:
            chosen = self._order[index * batch_size : (index + 1) * batch_size]
            chosen = np.tile(chosen, batch_size // len(chosen))
            inputs, targets = examples
            return inputs[chosen], targets[chosen]

    return EqualBatches()
