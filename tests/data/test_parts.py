"""What ``Task.load`` may return for a part, and how its examples are read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuning.core.errors import BadInputError
from tuning.data.parts import Part, classes_of, is_dataset, leaves, read_part

X, Y = np.arange(10).reshape(5, 2), np.array([0, 1, 1, 0, 1])
WEIGHTS = np.linspace(1, 2, 5)


def test_arrays_stay_the_same_objects(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    on_disk = np.load(tmp_path / "x.npy", mmap_mode="r")
    part = read_part("train", (on_disk, Y, WEIGHTS))
    assert part.x is on_disk and part.y is Y and part.weights is WEIGHTS
    assert (part.name, part.examples, part.dataset) == ("train", 5, None)
    assert read_part("train", [X, Y]).weights is None


def test_lists_frames_and_series_become_arrays() -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    for x in (frame, [[1, 3], [2, 4]], ((1, 3), (2, 4))):
        part = read_part("train", (x, [0, 1], [1.0, 2.0]))
        assert part.x.tolist() == [[1, 3], [2, 4]]
        assert part.y.tolist() == [0, 1]
        assert part.weights is not None and part.weights.tolist() == [1.0, 2.0]
    series = read_part("train", (frame, pd.Series(["no", "yes"])))
    assert classes_of(series) == ("no", "yes")


def test_mappings_and_tuples_of_arrays_keep_their_structure() -> None:
    x, y = {"a": X, "b": [1, 2, 3, 4, 5]}, (Y, [X, Y])
    part = read_part("train", (x, y))
    assert part.x.keys() == {"a", "b"} and part.x["a"] is X
    assert part.x["b"].tolist() == [1, 2, 3, 4, 5]
    assert part.y[0] is Y and part.y[1][0] is X
    assert [len(array) for array in leaves(part.y)] == [5, 5, 5]
    inputs, labels, weights = part.head(2)
    assert inputs["a"].tolist() == X[:2].tolist() and labels[1][1].tolist() == [0, 1]
    assert weights is None


def test_batches_have_every_example_once_and_in_order() -> None:
    part = read_part("test", (X, Y, WEIGHTS))
    batches = list(part.batches(2))
    assert [len(x) for x, _, _ in batches] == [2, 2, 1]
    for index, whole in enumerate((X, Y, WEIGHTS)):
        joined = np.concatenate([np.asarray(batch[index]) for batch in batches])
        np.testing.assert_array_equal(joined, whole)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "must be a pair of inputs and labels.*got a NoneType"),
        (X, "must be a pair.*got a ndarray"),
        ((X,), "must be a pair.*got a tuple of 1"),
        ((X, Y, WEIGHTS, Y), "must be a pair.*got a tuple of 4"),
        ((X, Y[1:]), "the labels of the part 'train' are 4 for 5 inputs"),
        (({"a": X, "b": X[1:]}, Y), "the arrays of the part 'train' have different lengths: 4, 5"),
        ((X[:0], Y[:0]), "the part 'train' has no examples"),
        (({}, Y[:0]), "the part 'train' has no examples"),
        ((X, Y, WEIGHTS[1:]), r"have the shape \(4,\); one per example.*\(5,\)"),
        ((X, Y, np.ones((5, 2))), r"have the shape \(5, 2\); one per example"),
    ],
)
def test_what_is_no_part_is_explained(value: Any, reason: str) -> None:
    with pytest.raises(BadInputError, match=f"task: .*{reason}"):
        read_part("train", value)


@pytest.mark.parametrize("kind", [object, "U", "S"])
def test_texts_become_the_numbers_of_their_classes(kind: Any) -> None:
    labels = np.array(["b", "a", "c", "b", "a"]).astype(kind)
    part = read_part("train", (X, labels))
    classes = classes_of(part)
    assert classes == ("a", "b", "c")
    assert part.encoded(classes).y.tolist() == [1, 0, 2, 1, 0]
    # The order of the classes is that of the task, if it gives one.
    assert part.encoded(("c", "a", "b")).y.tolist() == [2, 1, 0, 2, 1]
    with pytest.raises(
        BadInputError, match=r"'train' contain 'c', which no training label is \(a"
    ):
        part.encoded(("a", "b"))


def test_numbers_stay_as_they_are() -> None:
    part = read_part("train", (X, Y))
    assert classes_of(part) == ()
    assert part.encoded(("no", "yes")) is part


class Batches:
    """Iterates over tensors, as a data loader of PyTorch does."""

    def __init__(self, *batches: Any) -> None:
        self._batches = batches

    def __iter__(self) -> Any:
        return iter(self._batches)


class Tensor:
    def __init__(self, values: Any) -> None:
        self._values = np.asarray(values)

    def numpy(self) -> Any:
        return self._values


def test_a_data_set_has_batches_of_its_own() -> None:
    first = [Tensor(X[:3]), Tensor(Y[:3]), Tensor(WEIGHTS[:3])]
    part = Part("train", dataset=Batches(first, [Tensor(X[3:]), Tensor(Y[3:])]))
    assert part.examples is None
    batches = list(part.batches(99))
    assert [len(x) for x, _, _ in batches] == [3, 2]
    assert batches[1][2] is None
    x, y, weights = part.head(2)
    assert (x.tolist(), y.tolist()) == (X[:2].tolist(), [0, 1])
    assert weights is not None and weights.tolist() == WEIGHTS[:2].tolist()
    assert part.encoded(("a",)) is part
    wrong = Part("train", dataset=Batches((Tensor(X),)))
    with pytest.raises(BadInputError, match="batches of the part 'train' must be pairs"):
        wrong.head(1)


@pytest.mark.slow
def test_data_sets_of_keras_and_tensorflow_are_known_and_read_in_order() -> None:
    import keras
    import tensorflow as tf

    class Own(keras.utils.PyDataset):  # type: ignore[misc]
        @property
        def num_batches(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            chosen = slice(3 * index, 3 * index + 3)
            return X[chosen], Y[chosen]

    for dataset in (Own(), tf.data.Dataset.from_tensor_slices((X, Y)).batch(3)):
        assert is_dataset(dataset)
        part = read_part("train", dataset)
        assert part.dataset is dataset
        np.testing.assert_array_equal(np.concatenate([y for _, y, _ in part.batches(1)]), Y)
    for value in (X, (X, Y), {"x": X}, Batches()):
        assert not is_dataset(value)
