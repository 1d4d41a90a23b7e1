"""Data are loaded once per value of the hyperparameters that they depend on."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import pytest

from tests.toy_task import ToyTask
from tuning.core.errors import BadInputError
from tuning.core.task import Task
from tuning.data.loading import Loader

X = np.zeros((4, 1))


class Reading:
    """Loads data of a length that a hyperparameter gives, and notes how often."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def load(self, split: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self.loaded.append(split)
        x = np.zeros((4, params["length"]))
        if params.get("noise") is not None:
            x += params["noise"]
        parts = ("train", "validation") if split == "search" else ("test",)
        return {part: (x, np.zeros(4)) for part in parts}


def loader_of(task: Any, classes: tuple[str, ...] = ()) -> Loader:
    return Loader(cast(Task, task), classes)


def test_without_hyperparameters_each_split_is_loaded_once(loaded: list[Any]) -> None:
    loader = Loader(ToyTask())
    assert not loader.takes_params
    first = loader.load("search", {"units": 1})
    assert loader.load("search", {"units": 2}) is first
    assert list(loader.load("test", {})) == ["test"]
    assert loader.load("search", {}) is first
    assert loaded == ["search", "test"]


def test_only_hyperparameters_that_the_task_reads_load_again() -> None:
    task = Reading()
    loader = loader_of(task)
    assert loader.takes_params
    first = loader.load("search", {"length": 2, "units": 1})
    assert loader.load("search", {"length": 2, "units": 9}) is first
    assert task.loaded == ["search"]
    assert loader.load("search", {"length": 3, "units": 9})["train"].x.shape == (4, 3)
    assert task.loaded == ["search", "search"]
    # The splits are kept apart.
    loader.load("test", {"length": 3})
    loader.load("search", {"length": 3})
    assert task.loaded == ["search", "search", "test"]


def test_a_hyperparameter_that_appears_or_goes_loads_again() -> None:
    task = Reading()
    loader = loader_of(task)
    loader.load("search", {"length": 2})
    assert loader.load("search", {"length": 2, "noise": 1.0})["train"].x[0, 0] == 1.0
    assert loader.load("search", {"length": 2})["train"].x[0, 0] == 0.0
    assert len(task.loaded) == 3


class Texts:
    def load(self, split: str) -> dict[str, Any]:
        labels = np.array(["yes", "no", "no", "yes"])
        parts = ("train", "validation") if split == "search" else ("test",)
        return {part: (X, labels) for part in parts}


def test_the_classes_are_those_of_the_training_part_or_of_the_task() -> None:
    loader = loader_of(Texts())
    assert not loader.classes
    assert loader.load("search", {})["validation"].y.tolist() == [1, 0, 0, 1]
    assert loader.classes == ("no", "yes")
    assert loader.load("test", {})["test"].y.tolist() == [1, 0, 0, 1]
    given = loader_of(Texts(), ("yes", "no"))
    assert given.load("test", {})["test"].y.tolist() == [0, 1, 1, 0]
    assert given.classes == ("yes", "no")


class Returning:
    def __init__(self, value: Any) -> None:
        self._value = value

    def load(self, split: str) -> Any:
        return self._value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([(X, X)], "must return a mapping with 'train' and 'validation'; got a list"),
        ({"train": (X, X)}, "returns no part 'validation', only 'train'; add the part"),
        ({}, "returns no part 'train', only an empty mapping"),
    ],
)
def test_a_part_that_is_missing_is_named(value: Any, reason: str) -> None:
    with pytest.raises(BadInputError, match=rf"load\('search'\) {reason}"):
        loader_of(Returning(value)).load("search", {})


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """A data set without batches."""

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("nobody reads it")


class Prepared:
    """Arrays that depend on a window; notes in a file when it prepares them."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def load(self, split: str, params: Mapping[str, Any]) -> dict[str, Any]:
        with self._log.open("a") as stream:
            stream.write(f"{split} {params['window']}\n")
        time.sleep(0.2)
        x = np.full((4, params["window"]), 1.0 * params["window"])
        names = ("train", "validation") if split == "search" else ("test",)
        return {name: (x, np.zeros(4)) for name in names}


def test_workers_of_a_machine_prepare_each_value_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    loaders = [Loader(cast(Task, Prepared(log)), (), tmp_path / "shared") for _ in range(4)]
    params = [{"window": 5 + number % 2, "units": number} for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        parts = list(
            pool.map(lambda number: loaders[number % 4].load("search", params[number]), range(8))
        )
    assert sorted(log.read_text().splitlines()) == ["search 5", "search 6"]
    for each, own in zip(parts, params, strict=True):
        assert each["train"].x.shape == (4, own["window"])
        assert isinstance(each["train"].x, np.memmap)


def test_data_sets_are_prepared_by_every_worker(tmp_path: Path) -> None:
    class Sets(Prepared):
        def load(self, split: str, params: Mapping[str, Any]) -> dict[str, Any]:
            super().load(split, params)
            return {name: Batches() for name in ("train", "validation")}

    log = tmp_path / "log"
    for _ in range(2):
        loader = Loader(cast(Task, Sets(log)), (), tmp_path / "shared")
        loader.load("search", {"window": 5})
    assert log.read_text().splitlines() == ["search 5"] * 2


def test_a_missing_hyperparameter_is_not_one_that_is_none(tmp_path: Path) -> None:
    task = Reading()
    loader = Loader(cast(Task, task), (), tmp_path)
    loader.load("search", {"length": 2})
    loader.load("search", {"length": 2, "noise": None})
    loader.load("search", {"length": 2})
    assert len(task.loaded) == 2


def test_other_data_or_code_have_another_folder_of_prepared_data(tmp_path: Path) -> None:
    """A run that goes on must not train on what an earlier one has prepared of other data."""
    import dataclasses

    from tests.factories import make_study
    from tuning.core.task import DataInfo
    from tuning.workflow.preparation import PreparedStudy

    info = DataInfo(label="a", name="a", source="a", digest="d1", sizes={})
    unused: Any = None
    prepared = PreparedStudy(
        "tune",
        unused,
        make_study(),
        unused,
        unused,
        info,
        unused,
        {},
        tmp_path,
        {"f": "1"},
        [],
        False,
    )
    others = [
        dataclasses.replace(prepared, data=dataclasses.replace(info, digest="d2")),
        dataclasses.replace(prepared, code={"f": "2"}),
        dataclasses.replace(prepared, study=make_study(baseline={"units": 4, "rate": 0.0})),
    ]
    contents = {each.content for each in [prepared, *others]}
    assert len(contents) == 4
    assert dataclasses.replace(prepared, kind="search").content == prepared.content
