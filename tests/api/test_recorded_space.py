"""The search space of a function in KerasTuner's way."""

from typing import Any

import pytest

from tuning.api.recorded_space import MAX_CALLS, TRIED, record_space
from tuning.core.errors import BadInputError
from tuning.study.ranges import Choice, Float, Int


def test_every_kind_becomes_its_declaration_and_the_defaults_are_the_baseline() -> None:
    def build(hp: Any) -> None:
        hp.Int("units", 16, 130, step=16, default=32)
        hp.Int("width", 1, 100, sampling="log")
        hp.Float("rate", 0.0, 0.55, step=0.1, default=0.2)
        hp.Float("lr", 1e-4, 1e-2, sampling="log", default=1e-3)
        hp.Int("batch", 16, 100, step=2, sampling="log", default=32)
        hp.Choice("layer", ["lstm", "gru"], default="gru")
        hp.Choice("size", [1, 2, 4])
        hp.Boolean("norm", default=True)
        hp.Fixed("activation", "relu")

    found = record_space(build)
    assert found.space == {
        "units": Int(16, 128, step=16, default=32),
        "width": Int(1, 100, log=True, default=1),
        "rate": Float(0.0, 0.5, step=0.1, default=0.2),
        "lr": Float(1e-4, 1e-2, log=True, default=1e-3),
        "batch": Choice([16, 32, 64], ordered=True, default=32),
        "layer": Choice(["lstm", "gru"], default="gru"),
        "size": Choice([1, 2, 4], ordered=True, default=1),
        "norm": Choice([False, True], default=True),
    }
    assert found.fixed == {"activation": "relu"}
    assert found.baseline == {
        "units": 32,
        "width": 1,
        "rate": 0.2,
        "lr": 1e-3,
        "batch": 32,
        "layer": "gru",
        "size": 1,
        "norm": True,
    }


@pytest.mark.parametrize("high", [33, 34, 1_000, 1_001, 5_000, 10**9])
def test_a_range_of_any_length_is_a_range(high: int) -> None:
    found = record_space(lambda hp: hp.Int("units", 1, high, default=3))
    assert found.space == {"units": Int(1, high, default=3)}
    assert found.baseline == {"units": 3}


def test_a_conditional_scope_becomes_when() -> None:
    def build(hp: Any) -> None:
        kind = hp.Choice("kind", ["mlp", "cnn"])
        with hp.conditional_scope("kind", ["cnn"]):
            if kind == "cnn":
                hp.Int("filters", 8, 32, step=8)
        hp.Int("units", 1, 4, parent_name="kind", parent_values=["mlp"])

    space = record_space(build).space
    assert space["filters"].when == {"kind": ["cnn"]}
    assert space["units"].when == {"kind": ["mlp"]}
    assert record_space(build).baseline == {"kind": "mlp", "units": 1}


def test_what_is_asked_for_only_with_some_values_is_conditional() -> None:
    def build(hp: Any) -> None:
        for number in range(hp.Int("layers", 1, 4)):
            hp.Int(f"units_{number}", 8, 32, step=8)
        if hp.Boolean("dropout"):
            hp.Float("rate", 0.1, 0.5)
        if hp.Choice("optimizer", ["adam", "sgd"]) == "sgd" and hp.Boolean("nesterov"):
            hp.Float("momentum", 0.1, 0.9)

    space = record_space(build).space
    when = {name: each.when for name, each in space.items() if each.when}
    assert when == {
        "units_1": {"layers": [2, 3, 4]},
        "units_2": {"layers": [3, 4]},
        "units_3": {"layers": [4]},
        "rate": {"dropout": [True]},
        "nesterov": {"optimizer": ["sgd"]},
        "momentum": {"nesterov": [True]},
    }
    assert list(space).index("momentum") > list(space).index("nesterov")


def test_what_is_asked_for_by_default_may_be_missing_elsewhere() -> None:
    def build(hp: Any) -> None:
        for number in range(hp.Int("layers", 0, 2, default=2)):
            hp.Int(f"units_{number}", 8, 16)

    found = record_space(build)
    assert found.space["units_0"].when == {"layers": [1, 2]}
    assert found.space["units_1"].when == {"layers": [2]}
    assert found.baseline == {"layers": 2, "units_0": 8, "units_1": 8}


def test_where_the_end_of_a_range_fails_every_value_is_tried() -> None:
    def build(hp: Any) -> None:
        layers = hp.Int("layers", 1, 4)
        if layers == 4:
            raise ValueError("the image has become empty")
        for number in range(layers):
            hp.Int(f"units_{number}", 8, 32, step=8)

    space = record_space(build).space
    assert space["units_1"].when == {"layers": [2, 3, 4]}
    assert space["units_2"].when == {"layers": [3, 4]}


def test_one_name_in_two_scopes_exists_in_both() -> None:
    def build(hp: Any) -> None:
        optimizer = hp.Choice("optimizer", ["adam", "sgd", "none"])
        for name in ("adam", "sgd"):
            with hp.conditional_scope("optimizer", [name]):
                if optimizer == name:
                    hp.Float("lr", 1e-4, 1e-2, sampling="log")

    assert record_space(build).space["lr"].when == {"optimizer": ["adam", "sgd"]}


def test_a_choice_of_numbers_is_tried_whole() -> None:
    def build(hp: Any) -> None:
        if hp.Choice("kind", [0, 1, 2]) == 1:
            hp.Int("units", 1, 4)

    assert record_space(build).space["units"].when == {"kind": [1]}


def test_in_a_long_range_the_threshold_is_found() -> None:
    def build(hp: Any) -> None:
        if hp.Int("width", 1, 200) > 57:
            hp.Float("rate", 0.0, 0.5)

    assert record_space(build).space["rate"].when == {"width": list(range(58, 201))}


def test_what_needs_two_unusual_values_is_named_before_anything_is_trained() -> None:
    def build(hp: Any) -> None:
        first, second = hp.Boolean("first"), hp.Boolean("second")
        if first and second:
            hp.Int("both", 1, 4)
        if hp.Float("rate", 0.0, 0.5) > 0:
            hp.Int("size", 1, 4)

    with pytest.raises(BadInputError, match=r"it asks for '(both|size)', which it did not ask"):
        record_space(build)


def test_a_combination_that_fails_is_left_out_and_the_number_of_calls_is_limited() -> None:
    calls = 0

    def build(hp: Any) -> None:
        nonlocal calls
        calls += 1
        if hp.Int("layers", 1, 3) > 2:
            raise ValueError("too deep")
        for number in range(300):
            hp.Boolean(f"flag_{number}")

    assert len(record_space(build).space) == 301
    assert calls <= 1 + MAX_CALLS + TRIED


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda hp: None, "asks for no hyperparameter"),
        (
            lambda hp: hp.Float("lr", 1e-4, 1, sampling="reverse_log"),
            "lr has sampling='reverse_log'",
        ),
        (lambda hp: hp.Int("units", 16, 64, step=16, default=40), "units: .*40 is not one of"),
        (lambda hp: [hp.Int("a", 1, 2), hp.Int("a", 1, 9)][2], "IndexError"),
        (lambda hp: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_cannot_be_searched_is_refused(ask: Any, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        record_space(ask)


def test_one_name_for_two_ranges_is_refused() -> None:
    def build(hp: Any) -> None:
        kind = hp.Choice("kind", ["a", "b"])
        hp.Int("units", 1, 4 if kind == "a" else 8)

    with pytest.raises(BadInputError, match="asks for 'units' twice, with different values"):
        record_space(build)
