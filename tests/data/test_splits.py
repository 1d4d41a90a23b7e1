"""Splitting examples: shares, classes, groups, times, and the same result for the same seed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tuning.core.errors import BadInputError
from tuning.data.parts import Part
from tuning.data.splits import split_part

SHARES = {"test": 0.2, "validation": 0.2}


def rows(part: Part) -> list[int]:
    return [int(value) for value in part.x[:, 0]]


def made(count: int = 100, **fields: Any) -> Part:
    x = np.arange(count, dtype=float)[:, None]
    return Part("all", x, fields.get("y", np.linspace(0.0, 1.0, count)), fields.get("weights"))


def test_every_example_is_in_exactly_one_part() -> None:
    parts = split_part(made(), SHARES)
    assert {name: len(rows(part)) for name, part in parts.items()} == {
        "train": 60,
        "test": 20,
        "validation": 20,
    }
    every = [row for part in parts.values() for row in rows(part)]
    assert sorted(every) == list(range(100))


def test_labels_and_weights_stay_with_their_examples() -> None:
    y, weights = np.arange(100) / 7, np.arange(100) * 2.0
    for part in split_part(made(y=y, weights=weights), SHARES).values():
        assert list(part.y * 7) == pytest.approx(rows(part))
        assert part.weights is not None
        assert list(part.weights) == [2.0 * row for row in rows(part)]


def test_the_seed_decides() -> None:
    first, same, other = (split_part(made(), SHARES, seed=seed) for seed in (1, 1, 2))
    assert rows(first["test"]) == rows(same["test"]) != rows(other["test"])


def test_classes_have_the_same_shares_in_all_parts() -> None:
    y = np.array([0] * 80 + [1] * 20)
    for labels in (y, np.array(["no", "yes"])[y], y.astype(bool)):
        for part in split_part(made(y=labels), SHARES).values():
            assert np.mean(part.y == labels[-1]) == pytest.approx(0.2, abs=0.001)


def test_a_rare_class_and_numbers_are_split_at_random() -> None:
    rare = np.array([0] * 98 + [1, 1])
    assert len(rows(split_part(made(y=rare), SHARES)["test"])) == 20
    assert len(rows(split_part(made(y=np.arange(100)), SHARES)["test"])) == 20


def test_groups_stay_together() -> None:
    groups = np.arange(100) // 4
    parts = split_part(replace(made(), groups=groups), SHARES)
    for part in parts.values():
        assert part.groups is not None and list(part.groups) == [groups[r] for r in rows(part)]
    members = [{int(groups[row]) for row in rows(part)} for part in parts.values()]
    assert sum(map(len, members)) == len(set.union(*members)) == 25
    assert 12 <= len(rows(parts["test"])) <= 28


def test_with_times_the_test_is_the_latest() -> None:
    times = np.arange(100)[::-1]
    parts = split_part(replace(made(), times=times), SHARES)
    assert rows(parts["test"]) == list(range(20))
    assert rows(parts["validation"]) == list(range(20, 40))


def test_no_target_reaches_into_a_later_part() -> None:
    first = np.arange(100)
    spans = np.stack([first, first + 4], axis=1)  # each row forecasts five times
    parts = split_part(replace(made(), times=spans), SHARES)
    assert rows(parts["test"]) == list(range(80, 100))
    assert rows(parts["validation"]) == list(range(56, 76))
    assert rows(parts["train"]) == list(range(52))


def test_all_rows_of_a_time_stand_in_one_part() -> None:
    parts = split_part(replace(made(), times=np.arange(100) // 30), SHARES)
    assert rows(parts["test"]) == list(range(60, 100))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"times": np.zeros(100), "groups": np.zeros(100)}, "groups or times, not both"),
        ({"groups": np.zeros(100)}, "groups: they are too few to cut off test"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        split_part(replace(made(), **options), SHARES)


def test_too_few_examples_are_refused() -> None:
    with pytest.raises(BadInputError, match="2 examples are too few"):
        split_part(made(2), SHARES)
