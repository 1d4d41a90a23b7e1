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
    assert space(rate=RATE)["rate"].grid() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
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
        ({"a b": UNITS}, "'a b' is not a name"),
        ({"a": {**UNITS, "when": {"b": [1]}}}, "must be declared before"),
        ({"a": {**UNITS, "log": True}}, "log and step exclude each other"),
        ({"a": {"type": "float", "low": 0.0, "high": 1.0, "log": True}}, "start above 0"),
        ({"a": {**RATE, "step": 0.3}}, "do not end at 0.5"),
        ({"a": {"type": "choice", "values": [1, 1]}}, "values repeat"),
        ({"a": {"type": "choice", "values": [1, "x"]}}, "one type"),
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
    assert [made.canonical({"n": value})["n"] for value in grid] == grid
