"""The search space: canonical values, conditions, sizes and boundaries."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.study.space import SearchSpace


def space(**declared: Any) -> SearchSpace:
    return SearchSpace.model_validate(declared)


RATE = {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1}
UNITS = {"type": "int", "low": 16, "high": 64, "step": 16}
KIND = {"type": "choice", "values": ["plain", "masked"]}


def test_a_stepped_float_reaches_its_end_and_is_written_exactly() -> None:
    assert list(space(rate=RATE)["rate"].grid() or ()) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert space(rate=RATE).canonical({"rate": 0.1 + 0.2}) == {"rate": 0.3}


def test_values_get_their_declared_type() -> None:
    made = space(rate=RATE, units=UNITS).canonical({"units": 16.0, "rate": 0})
    assert made == {"rate": 0.0, "units": 16}
    assert list(made) == ["rate", "units"]
    assert isinstance(made["rate"], float)
    assert isinstance(made["units"], int)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"units": 17}, "units: 17 is not one of whole numbers from 16 to 64 in steps of 16"),
        ({"units": True}, "units: True is not a whole number"),
        ({"units": "16"}, "units: '16' is not a whole number"),
        ({}, "units is missing"),
        ({"units": 16, "more": 1}, "more is not in the search space"),
    ],
)
def test_what_is_not_in_the_space_is_named(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        space(units=UNITS).canonical(params)


def test_a_condition_decides_what_exists() -> None:
    made = space(kind=KIND, units={**UNITS, "when": {"kind": ["masked"]}})
    assert made.canonical({"kind": "plain"}) == {"kind": "plain"}
    assert made.canonical({"kind": "masked", "units": 16}) == {"kind": "masked", "units": 16}
    with pytest.raises(ValueError, match="units is set but inactive"):
        made.canonical({"kind": "plain", "units": 16})
    with pytest.raises(ValueError, match="units is missing"):
        made.canonical({"kind": "masked"})
    assert made.size() == 1 + 4


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({}, "at least one"),
        ({"a.b": UNITS}, "'a.b' is not a name"),
        ({"a": {**UNITS, "when": {"b": [1]}}}, "must be declared before"),
        ({"a": {**UNITS, "log": True}}, "log and step exclude each other"),
        ({"a": {"type": "float", "low": 0.0, "high": 1.0, "log": True}}, "start above 0"),
        ({"a": {**RATE, "step": 0.3}}, "do not end at 0.5"),
        ({"a": {"type": "choice", "values": [1, 1]}}, "values repeat"),
        ({"a": {"type": "choice", "values": [None, "None"]}}, "values repeat"),
        ({"a": {"type": "choice", "values": [{"b": 1}]}}, "plain value|valid"),
        ({"a": {"type": "choice", "values": [float("inf")]}}, "finite"),
        ({"epochs": UNITS}, r"epochs is not a hyperparameter: budget\.epochs"),
        ({"seed": UNITS}, r"seed is not a hyperparameter"),
        ({"a": {"type": "float", "low": float("nan"), "high": 1.0}}, "finite"),
    ],
)
def test_a_wrong_declaration_is_refused(declared: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SearchSpace.model_validate(declared)


def test_size_counts_configurations() -> None:
    assert space(rate=RATE, units=UNITS, kind=KIND).size() == 6 * 4 * 2
    assert space(x={"type": "float", "low": 0.0, "high": 1.0}).size() == float("inf")


def test_a_boundary_is_told_where_something_may_lie_beyond() -> None:
    made = space(rate=RATE, units=UNITS, kind=KIND)
    ends = made.at_boundary({"rate": 0.0, "units": 64, "kind": "plain"})
    assert ends == {"units": "highest"}
    assert made.at_boundary({"rate": 0.5, "units": 16, "kind": "plain"}) == {
        "rate": "highest",
        "units": "lowest",
    }


@given(st.integers(1, 40), st.integers(0, 30), st.integers(1, 7))
def test_every_value_of_a_grid_is_canonical(low: int, steps: int, step: int) -> None:
    made = space(n={"type": "int", "low": low, "high": low + steps * step, "step": step})
    grid = made["n"].grid()
    assert grid is not None
    assert len(grid) == steps + 1
    assert [made.canonical({"n": value})["n"] for value in grid] == list(grid)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([None, "l2"], ["None", "l2"]),
        ([[64, 32], [128]], ["[64, 32]", "[128]"]),
        ([0, 0.1, 0.2], [0.0, 0.1, 0.2]),
        ([True, "auto"], ["True", "auto"]),
        ([1, 2], [1, 2]),
        ([True, False], [True, False]),
    ],
)
def test_a_choice_has_any_plain_values(values: list[Any], labels: list[Any]) -> None:
    made = space(a={"type": "choice", "values": values})
    for value, label in zip(values, labels, strict=True):
        canonical = made.canonical({"a": value})
        assert canonical == {"a": value}
        assert made.labels(canonical) == {"a": label}
        assert type(made.labels(canonical)["a"]) is type(label)


def test_a_wide_range_costs_nothing() -> None:
    made = space(n={"type": "int", "low": 0, "high": 2**60}, m={**RATE, "step": 1e-12})
    assert made.size() == (2**60 + 1) * (5 * 10**11 + 1)
    assert made.canonical({"n": 2**59, "m": 0.1}) == {"n": 2**59, "m": 0.1}


@pytest.mark.parametrize("step", [1e-9, 1e-11, 3e-7, 0.1, 1e6])
def test_steps_of_any_size_are_exact(step: float) -> None:
    made = space(a={"type": "float", "low": 0.0, "high": 10 * step, "step": step})
    grid = made["a"].grid()
    assert grid is not None
    assert list(grid) == pytest.approx([i * step for i in range(11)], rel=1e-12)
    assert len(set(grid)) == 11
    assert grid.index(grid[7]) == 7
    assert made.canonical({"a": 3 * step})["a"] == grid[3]
    with pytest.raises(ValueError, match="not one of"):
        made.canonical({"a": 3.4 * step})
