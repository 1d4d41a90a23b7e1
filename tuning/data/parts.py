"""A part of the data, such as train or test: arrays in memory or on disk, or a data set."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuning.core.errors import BadInputError

# Arrays, or mappings and tuples of arrays.
Structure = Any
Batch = tuple[Structure, Structure, "NDArray[Any] | None"]

_TEXT_KINDS = "UOST"  # NumPy's kinds of arrays that may hold texts


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the data.

    Either ``dataset`` is None, and the examples are arrays; or it yields batches of examples: a
    ``keras.utils.PyDataset``, a ``tf.data.Dataset`` or a PyTorch ``DataLoader``.

    Attributes:
        name: Name of the part: ``train``, ``validation`` or ``test``.
        x: Inputs of shape (examples, …); or a mapping or a tuple of such arrays.
        y: Labels in the structure of the model's outputs.
        weights: Weight per example, of shape (examples,); None for equal weights.
        dataset: Data set that yields the batches; None for arrays.
        times: Times of the examples, as in ``tuning.core.task.HasTimes``, if they are known.
        groups: Groups of the examples, as in ``tuning.core.task.HasGroups``, if they are known.
    """

    name: str
    x: Structure = None
    y: Structure = None
    weights: "NDArray[Any] | None" = None
    dataset: Any = None
    times: "NDArray[Any] | None" = None
    groups: "NDArray[Any] | None" = None

    @property
    def examples(self) -> int | None:
        """Number of examples; None if a data set does not tell it."""
        return None if self.dataset is not None else rows_of(self.x)

    def chosen(self, name: str, rows: Any) -> "Part":
        """Returns a part of arrays with some of the examples."""
        arrays = (self.x, self.y, self.weights, self.times, self.groups)
        x, y, weights, times, groups = (take(each, rows) for each in arrays)
        return Part(name, x, y, weights, times=times, groups=groups)

    def head(self, count: int) -> Batch:
        """Returns the first examples, at most ``count`` of them, or of the first batch."""
        x, y, weights = next(self.batches(count))
        return take(x, slice(count)), take(y, slice(count)), take(weights, slice(count))

    def batches(self, size: int) -> Iterator[Batch]:
        """Yields all examples once, in their order, in batches.

        Args:
            size: Examples per batch of arrays; a data set has its own batches.
        """
        if self.dataset is not None:
            for batch in _batches_of(self.dataset):
                yield _as_batch(self.name, batch)
            return
        total = rows_of(self.x)
        for start in range(0, total, size):
            chosen = slice(start, start + size)
            yield take(self.x, chosen), take(self.y, chosen), take(self.weights, chosen)

    def encoded(self, classes: Sequence[str]) -> "Part":
        """Returns the part with its text labels replaced by the positions of their classes.

        Raises:
            BadInputError: A label is not among the classes.
        """
        if self.dataset is not None or not classes or not is_text(self.y):
            return self
        labels = _texts(self.y).reshape(-1)
        order = np.argsort(np.asarray(classes, dtype=str), kind="stable")
        ordered = np.asarray(classes, dtype=str)[order]
        places = np.minimum(np.searchsorted(ordered, labels), len(ordered) - 1)
        unknown = labels[ordered[places] != labels]
        if unknown.size:
            raise BadInputError(
                f"task: the labels of the part {self.name!r} contain {str(unknown[0])!r}, which "
                f"no training label is ({', '.join(classes)})"
            )
        return replace(self, y=order[places].astype(np.int64))


def read_part(name: str, value: Any) -> Part:
    """Reads what ``Task.load`` returns for one part.

    Args:
        name: Name of the part.
        value: A pair of inputs and labels, a triple with weights too, or a data set.

    Raises:
        BadInputError: It is none of these, or its arrays differ in length.
    """
    if is_dataset(value):
        return Part(name, dataset=value)
    if not _is_batch(value):
        raise BadInputError(
            f"task: the part {name!r} must be a pair of inputs and labels, a triple with weights, "
            "or a data set (keras.utils.PyDataset, tf.data.Dataset, PyTorch's DataLoader); got "
            f"{_describe(value)}"
        )
    x, y, weights = _as_batch(name, value)
    part = Part(name, x, y, weights)
    lengths = {len(array) for array in leaves(x)} | {len(array) for array in leaves(y)}
    if not lengths or 0 in lengths:
        raise BadInputError(f"task: the part {name!r} has no examples")
    if len(lengths) > 1:
        if rows_of(y) != rows_of(x):
            raise BadInputError(
                f"task: the labels of the part {name!r} are {rows_of(y)} for {rows_of(x)} inputs"
            )
        raise BadInputError(
            f"task: the arrays of the part {name!r} have different lengths: "
            f"{', '.join(map(str, sorted(lengths)))}"
        )
    if weights is not None and np.shape(weights) != (rows_of(x),):
        raise BadInputError(
            f"task: the weights of the part {name!r} have the shape {np.shape(weights)}; one per "
            f"example is needed, of shape ({rows_of(x)},)"
        )
    return part


def join(name: str, first: Part, second: Part) -> Part:
    """Returns a part with the examples of two parts, in this order.

    Raises:
        BadInputError: A part is a data set, or the parts have different structures.
    """
    if first.dataset is not None or second.dataset is not None:
        raise BadInputError(
            "confirm.resample: the rows of a data set cannot be cut anew; return arrays"
        )

    def both(one: Structure, other: Structure) -> Structure:
        if isinstance(one, Mapping):
            return {key: both(each, other[key]) for key, each in one.items()}
        if isinstance(one, list | tuple):
            return type(one)(both(*pair) for pair in zip(one, other, strict=True))
        return np.concatenate([one, other])

    weights = None
    if first.weights is not None or second.weights is not None:
        own = [np.ones(rows_of(p.x)) if p.weights is None else p.weights for p in (first, second)]
        weights = np.concatenate(own)
    try:
        return Part(name, both(first.x, second.x), both(first.y, second.y), weights)
    except (KeyError, ValueError) as error:
        raise BadInputError(
            f"task: the rows of {first.name!r} and {second.name!r} differ in form ({error}), so "
            "they cannot be cut anew"
        ) from None


def classes_of(part: Part) -> tuple[str, ...]:
    """Returns the classes of text labels in alphabetical order; empty for other labels."""
    if part.dataset is not None or not is_text(part.y):
        return ()
    return tuple(str(label) for label in np.unique(_texts(part.y)))


def is_array(structure: Structure) -> bool:
    """Returns whether a structure is one array."""
    return hasattr(structure, "shape")


def is_text(labels: Structure) -> bool:
    """Returns whether labels are one array of texts."""
    if isinstance(labels, Mapping | list | tuple):
        return False
    array = np.asarray(labels)
    if array.dtype.kind == "O":
        return array.size > 0 and isinstance(array.flat[0], str | bytes)
    return array.dtype.kind in _TEXT_KINDS


def _texts(labels: Structure) -> "NDArray[np.str_]":
    array = np.asarray(labels)
    if array.dtype.kind == "O":  # they may be bytes
        array = np.array(
            [each.decode() if isinstance(each, bytes) else each for each in array.flat]
        )
    return array.astype(str)


def is_dataset(value: Any) -> bool:
    """Returns whether a value is a data set of Keras, TensorFlow or PyTorch."""
    names = {base.__name__ for base in type(value).__mro__}
    modules = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    if "PyDataset" in names and "keras" in modules:
        return True
    if "tensorflow" in modules and "DatasetV2" in names:
        return True
    return "torch" in modules and "DataLoader" in names


def structure_map(function: Callable[[Any], Any], structure: Structure) -> Structure:
    """Applies a function to every array of a structure; None stays None."""
    if structure is None:
        return None
    if isinstance(structure, Mapping):
        return {key: structure_map(function, each) for key, each in structure.items()}
    if isinstance(structure, list | tuple):
        return type(structure)(structure_map(function, each) for each in structure)
    return function(structure)


def leaves(structure: Structure) -> list[Any]:
    """Returns the arrays of a structure."""
    found: list[Any] = []
    structure_map(found.append, structure)
    return found


def take(structure: Structure, chosen: Any) -> Structure:
    """Returns the chosen examples of every array of a structure."""
    return structure_map(lambda array: array[chosen], structure)


def rows_of(structure: Structure) -> int:
    """Returns the number of examples of a structure."""
    arrays = leaves(structure)
    return len(arrays[0]) if arrays else 0


def _batches_of(dataset: Any) -> Iterator[Any]:
    if hasattr(dataset, "as_numpy_iterator"):
        yield from dataset.as_numpy_iterator()
    elif hasattr(dataset, "__getitem__") and hasattr(dataset, "num_batches"):
        # Without the threads of Keras, so that the batches come in their order.
        for index in range(dataset.num_batches):
            yield dataset[index]
    else:
        for batch in dataset:
            yield structure_map(lambda tensor: tensor.numpy(), batch)


def _is_batch(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) in (2, 3)


def _as_batch(name: str, value: Any) -> Batch:
    if not _is_batch(value):
        raise BadInputError(
            f"task: the batches of the part {name!r} must be pairs of inputs and labels, or "
            f"triples with weights; got {_describe(value)}"
        )
    x, y, *rest = value
    weights = rest[0] if rest else None
    return _as_arrays(x), _as_arrays(y), None if weights is None else np.asarray(weights)


def _as_arrays(value: Any) -> Structure:
    """Turns data frames, series, tensors and lists of numbers into arrays; keeps arrays."""
    if isinstance(value, Mapping):
        return {key: _as_arrays(each) for key, each in value.items()}
    if isinstance(value, list | tuple) and _has_arrays(value):
        return type(value)(_as_arrays(each) for each in value)
    return value if value is None or isinstance(value, np.ndarray) else np.asarray(value)


def _has_arrays(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_has_arrays, value))
    return isinstance(value, Mapping) or hasattr(value, "shape")


def _describe(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
