"""Cuts of training and validation rows: what each method keeps apart, and what is refused."""

from typing import Any, cast

import numpy as np
import pytest
from sklearn.model_selection import TimeSeriesSplit

from tuning.core.errors import BadInputError
from tuning.core.task import Task
from tuning.data.cuts import Cut, cut_of, overlap_of
from tuning.data.dependence import horizon_of
from tuning.data.loading import Loader

ROWS = 100
LABELS = np.array([0] * 80 + [1] * 20)


def every(method: Any, numbers: int, **options: Any) -> list[tuple[Any, Any]]:
    keys = ("folds", "gap", "embargo", "seed")
    settings = {key: options.pop(key) for key in keys if key in options}
    return [
        Cut(method=method, number=number, **settings).rows(ROWS, 0.2, **options)
        for number in range(1, numbers + 1)
    ]


@pytest.mark.parametrize("method", ["split", "folds", "repeated"])
def test_each_cut_has_all_rows_once_and_classes_in_equal_shares(method: str) -> None:
    for train, validation in every(method, 5, labels=LABELS):
        assert sorted([*train, *validation]) == list(range(ROWS))
        assert LABELS[validation].mean() == LABELS[train].mean() == 0.2


def test_folds_validate_every_row_once_and_repeat_with_new_folds() -> None:
    folds = [validation for _, validation in every("folds", 5)]
    assert sorted(np.concatenate(folds)) == list(range(ROWS))
    again = [validation for _, validation in every("repeated", 10)]
    assert [list(each) for each in again[:5]] == [list(each) for each in folds]
    assert sorted(np.concatenate(again[5:])) == list(range(ROWS))
    assert [list(each) for each in again[5:]] != [list(each) for each in folds]


def test_cuts_depend_on_the_seed_of_the_study_and_their_number() -> None:
    first, second = every("split", 2)
    assert list(first[1]) != list(second[1])
    assert list(every("split", 1)[0][1]) == list(first[1])
    assert list(every("split", 1, seed=1)[0][1]) != list(first[1])


@pytest.mark.parametrize("method", ["grouped", "folds"])
def test_groups_stay_together(method: str) -> None:
    groups = np.array([f"patient {row // 4}" for row in range(ROWS)])
    for train, validation in every(method, 4, groups=groups):
        assert not {*groups[train]} & {*groups[validation]}
        assert len(validation) == 20


def test_a_rolling_origin_is_that_of_scikit_learn_latest_first() -> None:
    times = np.arange(ROWS)
    splits = TimeSeriesSplit(n_splits=4, test_size=5, gap=3, max_train_size=77)
    expected = list(splits.split(times))
    found = every("rolling", 4, times=times, folds=4, gap=3)
    for (train, validation), (own_train, own_validation) in zip(
        found, reversed(expected), strict=True
    ):
        assert list(train) == list(own_train)
        assert list(validation) == list(own_validation)


def test_rows_may_come_in_any_order_of_time() -> None:
    times = np.random.default_rng(0).permutation(ROWS)
    for train, validation in every("rolling", 3, times=times, folds=3):
        assert times[train].max() < times[validation].min()


def test_folds_of_time_are_blocks_with_a_gap_before_and_an_embargo_after() -> None:
    first = np.arange(ROWS)
    spans = np.stack([first, first + 2], axis=1)  # three times are forecast
    found = every("folds", 5, times=spans, folds=5, gap=4, embargo=6)
    train, validation = found[1]
    assert list(validation) == list(range(20, 40))
    # The last training target, 13 + 2, is 4 times before 20; the embargo is 42 to 47.
    assert list(train) == [*range(14), *range(48, 100)]
    assert sorted(np.concatenate([each for _, each in found])) == list(range(ROWS))


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("split", {"times": np.arange(ROWS)}, "split does not fit, because rows have times"),
        ("repeated", {"groups": np.arange(ROWS)}, "rows belong to groups; use grouped or folds"),
        ("grouped", {}, r"rows have no groups; use split, or give the task groups\(part\)"),
        ("rolling", {}, r"rows have no times; use folds, or give the task times\(part\)"),
        ("folds", {"groups": np.zeros(ROWS)}, "confirm.folds: 5 folds do not fit"),
        ("rolling", {"times": np.zeros(ROWS)}, "0 times for validation are too few for 5"),
        ("rolling", {"times": np.arange(ROWS), "gap": 99}, "leaves no rows to train on"),
    ],
)
def test_what_does_not_fit_is_refused(method: str, options: Any, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        every(method, 1, **options)


def test_a_cut_can_be_read_from_the_tag_of_a_trial() -> None:
    cut = Cut(method="rolling", number=2, folds=4, gap=24, embargo=1, seed=7)
    assert cut_of(cut.tag()) == cut
    assert cut_of({}) is None


def test_the_overlap_is_the_correlation_of_means_over_the_rows() -> None:
    folds = [train for train, _ in every("folds", 5)]
    assert overlap_of(folds) == pytest.approx(0.75)
    assert overlap_of([np.arange(50), np.arange(50)]) == 1
    assert overlap_of([np.arange(25), np.arange(100)]) == pytest.approx(0.5)
    draws = np.random.default_rng(0).normal(size=(4_000, ROWS))
    means = [draws[:, rows].mean(axis=1) for rows in (folds[0][:40], folds[1])]
    expected = overlap_of([folds[0][:40], folds[1]])
    assert np.corrcoef(*means)[0, 1] == pytest.approx(expected, abs=0.05)


def test_the_horizon_counts_the_times_that_a_row_covers() -> None:
    assert horizon_of(np.arange(9)) == 1
    assert horizon_of(np.array([[0, 20], [10, 30], [20, 40], [30, 50], [40, 60]])) == 3
    days = np.arange(0, 24 * 9, 24)
    assert horizon_of(np.stack([days, days + 23], axis=1)) == 1, "they do not overlap"
    six = np.arange(0, 24 * 9, 6)
    assert horizon_of(np.stack([six, six + 23], axis=1)) == 4


def test_with_a_gap_every_seed_trains_on_as_many_rows_too() -> None:
    found = every("rolling", 5, times=np.arange(ROWS), folds=5, gap=10)
    assert {len(train) for train, _ in found} == {70}
    assert [validation[0] - train[-1] for train, validation in found] == [11] * 5


class Rows:
    """A task whose rows are their own numbers."""

    def __init__(self, **known: Any) -> None:
        for name, function in known.items():
            setattr(self, name, function)

    def load(self, split: str) -> dict[str, Any]:
        parts = {"train": np.arange(80), "validation": np.arange(80, 100)}
        parts = parts if split == "search" else {"test": np.arange(100, 120)}
        return {name: (rows[:, None], rows * 1.0) for name, rows in parts.items()}


class OwnRows(Rows):
    """A task that cuts by itself, and centres by its training rows."""

    def load(self, split: str, cut: Any = None) -> dict[str, Any]:
        rows = np.arange(120.0)
        train, validation = np.arange(80), np.arange(80, 100)
        if cut is not None:
            train, validation = cut.rows(100, 0.2)
        parts = {"train": train, "validation": validation, "test": np.arange(100, 120)}
        centre = rows[train].mean()
        names = ["train", "validation"] if split == "search" else ["test"]
        return {name: (rows[parts[name], None] - centre, rows[parts[name]]) for name in names}


def loader_of(task: Any) -> Loader:
    return Loader(cast(Task, task))


def test_the_rows_of_train_and_validation_are_cut_anew_and_those_of_test_stay() -> None:
    loader = loader_of(Rows())
    cut = Cut(method="split", number=1)
    parts, own = loader.load("search", {}, cut), loader.load("search", {})
    train, validation = loader.rows(cut, {})
    assert list(parts["train"].y) == list(train)
    assert list(parts["validation"].x[:, 0]) == list(validation)
    assert list(own["validation"].y) == list(range(80, 100))
    assert loader.load("search", {}, cut) is parts
    assert list(loader.load("test", {}, cut)["test"].y) == list(range(100, 120))


def test_a_task_can_cut_by_itself_and_prepare_the_test_rows_accordingly() -> None:
    loader = loader_of(OwnRows())
    cut = Cut(method="split", number=1)
    train = loader.load("search", {}, cut)["train"]
    assert train.x.mean() == pytest.approx(0)
    assert list(train.y) == list(loader.rows(cut, {})[0])
    shift = loader.load("test", {}, cut)["test"].x[0, 0] - loader.load("test", {})["test"].x[0, 0]
    assert shift == pytest.approx(39.5 - train.y.mean())


def test_the_times_and_groups_of_a_task_are_used() -> None:
    starts = {"train": 0, "validation": 80, "test": 100}
    sizes = {"train": 80, "validation": 20, "test": 20}

    def times(part: str) -> Any:
        return np.arange(sizes[part]) + starts[part]

    loader = loader_of(Rows(times=times))
    parts = loader.load("search", {}, Cut(method="rolling", number=2, folds=2))
    assert list(parts["validation"].y) == list(range(80, 90))
    assert list(parts["train"].y) == list(range(80))
    known = loader.dependence({}, "test")
    assert known.groups is None and known.times is not None
    assert known.times.tolist() == [[row, row] for row in range(100, 120)]
    with pytest.raises(BadInputError, match="rows have times and groups"):
        loader_of(Rows(times=times, groups=times)).dependence({}, "test")
    with pytest.raises(BadInputError, match=r"times\('test'\): .*\(20,\) or \(20, 2\).*\(3,\)"):
        loader_of(Rows(times=lambda part: np.arange(3))).dependence({}, "test")
    with pytest.raises(BadInputError, match=r"groups\('train'\) returns None"):
        loader_of(Rows(groups=lambda part: None if part == "train" else np.zeros(20))).dependence(
            {}, "train", "validation"
        )
