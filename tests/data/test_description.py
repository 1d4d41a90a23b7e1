"""The digest of data that a task does not describe itself."""

from typing import Any

import numpy as np
import pytest

from tuning.data import description
from tuning.data.description import describe_data, digest_of_test
from tuning.data.parts import Part, read_part

X, Y = np.arange(12.0).reshape(6, 2), np.arange(6)


def digest(**changes: Any) -> str:
    parts = {"train": (X, Y), "test": (X, Y), **changes}
    return describe_data(
        "toy", {name: read_part(name, each) for name, each in parts.items()}
    ).digest


def test_the_data_are_named_after_their_task_and_counted() -> None:
    data = describe_data("Own", {"train": read_part("train", (X, Y))})
    assert (data.label, data.name, data.sizes) == ("data", "Own", {"train": 6})
    assert len(data.digest) == 64
    assert not data.cannot_serve, "the Keras model itself can be registered"


@pytest.mark.parametrize(
    "part",
    [
        (X + 1, Y),
        (X, Y[::-1]),
        (X, Y.astype(float)),
        (X.reshape(6, 1, 2), Y),
        (X, Y, np.ones(6)),
        (X, np.array(list("abcdef"), dtype=object)),
    ],
)
def test_every_other_value_type_or_shape_has_another_digest(part: Any) -> None:
    assert digest() == digest()
    assert digest(train=part) != digest()
    assert digest(test=part) != digest()
    assert digest(train=part) == digest(train=part)


def test_of_a_data_set_every_test_row_counts() -> None:
    class Batches:
        def __init__(self, labels: np.ndarray) -> None:
            self._labels = labels

        def as_numpy_iterator(self) -> Any:
            return iter([(X[:3], self._labels[:3]), (X[3:], self._labels[3:])])

    def of(name: str, labels: np.ndarray) -> str:
        return describe_data("toy", {name: Part(name, dataset=Batches(labels))}).digest

    other = np.array([0, 1, 2, 3, 4, 9])
    assert of("test", Y) == of("test", Y.copy())
    assert of("test", other) != of("test", Y)
    # The training rows may be too many: of them the first batch counts.
    assert of("train", other) == of("train", Y)
    assert of("train", other[::-1]) != of("train", Y)


def test_a_large_array_is_hashed_by_a_sample_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description, "MAX_HASHED_BYTES", 64)
    monkeypatch.setattr(description, "SAMPLED_ROWS", 3)
    last, between = X.copy(), X.copy()
    last[-1], between[1] = 99, 99
    assert digest(train=(last, Y)) != digest()
    assert digest(train=(between, Y)) == digest()


def test_the_test_rows_are_the_same_in_batches_of_any_size() -> None:
    import keras

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self, size: int, rows: Any) -> None:
            super().__init__()
            self._size, self._rows = size, rows

        @property
        def num_batches(self) -> int:
            return -(-len(self._rows) // self._size)

        def __getitem__(self, index: int) -> Any:
            rows = self._rows[index * self._size : (index + 1) * self._size]
            return rows, rows.sum(axis=1)

    rows = np.arange(30.0).reshape(10, 3)
    digests = {digest_of_test(Part("test", dataset=Batches(size, rows))) for size in (2, 5, 10)}
    assert len(digests) == 1
    other = rows.copy()
    other[7, 1] += 1
    assert digest_of_test(Part("test", dataset=Batches(5, other))) not in digests


def test_every_test_row_counts_and_nothing_else() -> None:
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
    digest = digest_of_test(Part("test", x, y))
    assert digest_of_test(Part("test", x.copy(), y.copy())) == digest
    assert digest_of_test(Part("test", x, 1 - y)) != digest
    assert digest_of_test(Part("test", x[::-1], y[::-1])) != digest
    assert digest_of_test(Part("test", x, y, np.ones(10))) != digest
