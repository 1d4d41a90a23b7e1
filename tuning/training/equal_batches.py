"""Batches of one size: JAX compiles a training step, or an evaluation, for every size it meets."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.core.task import Examples

if TYPE_CHECKING:
    import keras

EVALUATION_BATCH = 256


def evaluation_batch(rows: int) -> int:
    """A batch size that leaves no smaller batch over, which would be compiled by itself."""
    sizes = range(EVALUATION_BATCH, 2 * EVALUATION_BATCH)
    return next((size for size in sizes if rows % size == 0), EVALUATION_BATCH)


def training_data(examples: Examples, batch_size: int) -> dict[str, Any]:
    """What ``model.fit`` needs to train on these examples, shuffled in every epoch.

    On JAX the examples of a smaller last batch are repeated until it is as large as the others,
    where that makes each of them equally frequent. Gradients are means over the batch, so they
    stay the same, those of batch normalization too; only dropout draws its masks for each copy,
    and Keras's running means of the training metrics count the copies. The order of the examples
    is the one that Keras itself would have drawn.

    Args:
        examples: Inputs and targets, both of shape (rows, ...).
        batch_size: Examples a batch.

    Returns:
        Arguments by their names.
    """
    import keras

    rows = len(examples[0])
    left = rows % batch_size
    if keras.backend.backend() == "jax" and rows > batch_size and left and not batch_size % left:
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
