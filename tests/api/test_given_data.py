"""Data that are handed to ``tune``: every form is read, and workers read back the same values."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tuning.api.given_data import (
    CalledData,
    Split,
    as_loaded,
    is_called_by_workers,
    is_loader,
    read_data,
)
from tuning.core.errors import BadInputError
from tuning.data.stored import load_parts, store_parts

X = np.arange(200, dtype="float32").reshape(100, 2)
Y = np.arange(100.0)


def sizes(data: Any, split: Split | None = None) -> dict[str, int | None]:
    parts, _ = read_data(data, split or Split())
    return {name: part.examples for name, part in parts.items()}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ((X, Y), (60, 20, 20)),
        ([X, Y], (60, 20, 20)),
        ((X, Y, np.ones(100)), (60, 20, 20)),
        ((pd.DataFrame(X), pd.Series(Y)), (60, 20, 20)),
        (({"a": X, "b": X}, Y), (60, 20, 20)),
        (([X, X], Y), (60, 20, 20)),
        (((X, Y), (X[:30], Y[:30])), (74, 26, 30)),
        (((X, Y), (X[:20], Y[:20]), (X[:30], Y[:30])), (100, 20, 30)),
        ({"train": (X, Y), "validation": (X[:9], Y[:9]), "test": (X[:8], Y[:8])}, (100, 9, 8)),
        ({"train": (X, Y), "test": (X, Y)}, (60, 40, 100)),
        (lambda: (X, Y), (60, 20, 20)),
        (((X, Y, Y), (X, Y, Y), (X, Y, Y)), (100, 100, 100)),
    ],
)
def test_every_form_is_read(data: Any, expected: tuple[int, ...]) -> None:
    assert sizes(data) == dict(zip(("train", "validation", "test"), expected, strict=True))


def test_the_split_is_said() -> None:
    assert read_data((X, Y), Split(seed=3))[1] == (
        "split at random into 60% train, 20% validation and 20% test (seed 3)"
    )
    assert "by time" in read_data((X, Y), Split(times=Y))[1]
    assert "by group" in read_data((X, Y), Split(groups=Y // 5))[1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "data: is required"),
        (X, "data: pass \\(x, y\\).* got a ndarray"),
        ((X,), "got a tuple"),
        ((X, Y[:5]), "the labels of the part 'all' are 5 for 100 inputs"),
        ({"train": (X, Y)}, "there is no part test"),
        (((X, Y), (X, Y)), "may be inputs and labels, or train and test"),
        (lambda wrong: (X, Y), "a function takes no arguments, or split"),
        ({"train": (X, Y), "tset": (X, Y)}, "pass \\(x, y\\)"),
    ],
)
def test_another_form_is_refused(data: Any, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        read_data(data, Split())


def test_a_function_of_data_sets_is_called_by_the_workers() -> None:
    class Rows:
        """Stands for a data set, which cannot be pickled."""

    class PyDataset(Rows):
        __module__ = "keras.utils"
        num_batches = 1

        def __getitem__(self, index: int) -> Any:
            return X, Y

    sets = PyDataset(), PyDataset(), PyDataset()

    def is_called(data: Any) -> bool:
        return is_called_by_workers(data, read_data(data, Split())[0])

    assert is_called(lambda: sets) and not is_called(sets)
    assert not is_called(lambda: (X, Y)) and not is_called((X, Y))
    load = CalledData(lambda: sets, Split())
    assert is_loader(load)
    assert load("search") == {"train": sets[0], "validation": sets[1]}
    assert load("test") == {"test": sets[2]}


def test_given_parts_have_times_and_groups_of_their_own(tmp_path: Path) -> None:
    parts = ((X, Y), (X[:20], Y[:20]), (X[:30], Y[:30]))
    times = {"train": np.arange(100), "validation": np.arange(20), "test": np.ones((30, 2))}
    read, _ = read_data(parts, Split(times=times))
    stored = load_parts(store_parts(read, tmp_path))
    assert all(
        np.array_equal(np.asarray(stored[name].times), each) for name, each in times.items()
    )
    assert stored["train"].groups is None
    with pytest.raises(BadInputError, match="times: give a mapping with 'train' and 'validation'"):
        read_data(parts, Split(times=np.arange(100)))
    with pytest.raises(BadInputError, match=r"groups: one value per example is needed.*\(99,\)"):
        read_data((X, Y), Split(groups=np.zeros(99)))
    with pytest.raises(BadInputError, match=r"times: .* got the shape \(100, 3\)"):
        read_data((X, Y), Split(times=np.zeros((100, 3))))
    with pytest.raises(BadInputError, match="groups: give one array"):
        read_data((X, Y), Split(groups={"train": np.zeros(100)}))


def test_other_values_or_other_names_have_another_folder(tmp_path: Path) -> None:
    def folder(x: Any) -> Path:
        return store_parts(read_data((x, Y), Split())[0], tmp_path)

    one = folder({"a": X, "b": X + 1})
    assert folder({"a": X, "b": X + 1}) == one
    assert len({one, folder({"b": X, "a": X + 1}), folder({"a": X, "b": X + 2})}) == 3


def test_workers_read_the_same_values_from_files(tmp_path: Path) -> None:
    texts = np.array([f"text {number}" for number in range(100)], dtype=object)
    given = {"x": X, "t": texts}, (Y, X), np.ones(100)
    parts, _ = read_data(given, Split())
    folder = store_parts(parts, tmp_path)
    for name, part in load_parts(folder).items():
        x, y, weights = as_loaded(part)
        np.testing.assert_array_equal(x["x"], parts[name].x["x"])
        assert isinstance(x["x"], np.memmap)
        assert list(x["t"]) == list(parts[name].x["t"])
        np.testing.assert_array_equal(y[0], parts[name].y[0])
        np.testing.assert_array_equal(weights, parts[name].weights)
    assert store_parts(parts, tmp_path) == folder
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
