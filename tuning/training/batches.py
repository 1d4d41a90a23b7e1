"""Arguments with which Keras trains on a part of the data, and how its rows become batches.

JAX compiles its programs again for every batch size, so batches have one size where that changes
nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.core.errors import BadInputError
from tuning.data.parts import Batch, Part, rows_of, take
from tuning.data.weights import ClassWeight, weights_by_class
from tuning.metrics.losses import is_mean_over_examples

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


def training_data(model: "keras.Model", part: Part, batch_size: int) -> dict[str, Any]:
    """Returns the arguments of ``model.fit`` that define the training data and its batches.

    On JAX, a smaller last batch is filled with copies of its examples, if all of its examples can
    be repeated equally often, and if the loss is a mean over independent examples. Gradients are
    means over the batch, so they stay the same. Two things differ: dropout draws a mask for each
    copy, and the training metrics of Keras count the copies. The examples are shuffled in every
    epoch, in the order that Keras itself would draw.

    Args:
        model: Compiled model.
        part: Training part.
        batch_size: Number of examples per batch of arrays; a data set has its own batches.

    Returns:
        Arguments of ``model.fit`` by name.
    """
    import keras

    if part.dataset is not None:
        # Keras warns that it does not shuffle the other kinds of data sets.
        return {"x": part.dataset, "shuffle": isinstance(part.dataset, keras.utils.PyDataset)}
    rows = rows_of(part.x)
    rest = rows % batch_size
    can_repeat = rows > batch_size and rest and not batch_size % rest and part.weights is None
    if keras.backend.backend() == "jax" and can_repeat and is_mean_over_examples(model):
        return {"x": _equal_batches(part, batch_size), "shuffle": False}
    return {"x": part.x, "y": part.y, "sample_weight": part.weights, "batch_size": batch_size}


def validation_data(part: Part) -> dict[str, Any]:
    """Returns the arguments of ``model.fit`` that define the validation data."""
    if part.dataset is not None:
        return {"validation_data": part.dataset}
    weights = () if part.weights is None else (part.weights,)
    return {
        "validation_data": (part.x, part.y, *weights),
        "validation_batch_size": evaluation_batch(rows_of(part.x)),
    }


def weighted(part: Part, class_weight: ClassWeight) -> Part:
    """Multiplies the weights of examples by those of their classes.

    Args:
        part: Part with one label per example: a class, or a value per class (one-hot).
        class_weight: Weight by class; or ``balanced``, which makes the sum of weights of every
            class the same and keeps the sum of all; or None for no change.

    Raises:
        BadInputError: The part is a data set, or its labels are no single classes.
    """
    if class_weight is None:
        return part
    if part.dataset is not None or isinstance(part.y, Mapping | list | tuple):
        raise BadInputError(
            "training.class_weight needs labels in one array; give weights per example instead"
        )
    labels = np.asarray(part.y)
    if labels.ndim > 1 and labels.shape[-1] > 1:
        labels = labels.reshape(-1, labels.shape[-1]).argmax(axis=1)
    labels = labels.reshape(-1).astype(np.int64)
    if len(labels) != rows_of(part.x) or labels.min() < 0:
        raise BadInputError("training.class_weight needs one class per example, from 0")
    weights = weights_by_class(labels, part.weights, class_weight)
    return replace(part, weights=np.asarray(weights, dtype=np.float32))


def _equal_batches(part: Part, batch_size: int) -> "keras.utils.PyDataset":
    import keras

    rows = rows_of(part.x)

    class EqualBatches(keras.utils.PyDataset):  # type: ignore[misc]
        @property
        def num_batches(self) -> int:
            return -(-rows // batch_size)

        def on_epoch_begin(self) -> None:
            self._order = np.random.permutation(rows)

        def __getitem__(self, index: int) -> Sequence[Any]:
            chosen = self._order[index * batch_size : (index + 1) * batch_size]
            chosen = np.tile(chosen, batch_size // len(chosen))
            return take(part.x, chosen), take(part.y, chosen)

    return EqualBatches()


def raw_value(part: Part) -> Any:
    """Returns a part as a task's own ``fit`` gets it: a pair, a triple with weights, or a set."""
    if part.dataset is not None:
        return part.dataset
    batch: Batch = part.x, part.y, part.weights
    return batch[:2] if part.weights is None else batch
