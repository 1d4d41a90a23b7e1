"""The YAML of study files: numbers as people write them, and every key once."""

import math

import pytest
import yaml

from tuning.study.yaml_text import read_yaml, write_yaml


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("-2.5e-4", -2.5e-4),
        ("+1e3", 1e3),
        (".5e1", 5.0),
        ("1.e2", 100.0),
        ("1.0e-3", 1e-3),
    ],
)
def test_a_number_with_an_exponent_is_a_number(text: str, number: float) -> None:
    value = read_yaml(f"a: {text}")["a"]
    assert type(value) is float
    assert math.isclose(value, number)


@pytest.mark.parametrize("text", ["1e", "e5", "1e-3x", "v1e3", "1-3"])
def test_what_only_looks_like_one_is_a_text(text: str) -> None:
    assert read_yaml(f"a: {text}") == {"a": text}


def test_a_text_that_is_written_stays_a_text() -> None:
    data = {"a": "1e-3", "b": 1e-3, "c": "1e5", "d": [None, True, "2e1"]}
    assert read_yaml(write_yaml(data)) == data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key 'a' stands twice, in line 1 and in line 3"),
        ("a:\n  b: 1\n  c: 2\n  b: 1\n", "the key 'b' stands twice, in line 2 and in line 4"),
        ("a: [{b: 1, b: 2}]", "the key 'b' stands twice, in line 1 and in line 1"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_lines(text: str, message: str) -> None:
    with pytest.raises(yaml.YAMLError, match=message):
        read_yaml(text)


def test_merged_keys_may_be_replaced() -> None:
    text = "base: &base {a: 1, b: 2}\nown:\n  <<: *base\n  b: 3\n"
    assert read_yaml(text)["own"] == {"a": 1, "b": 3}
