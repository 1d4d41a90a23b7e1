"""Functions on their way to the workers: by value, with what they use, and their digests."""

import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stand_in import ROOT
from tuning.api.travel import code_of, pack, unpack
from tuning.core.errors import BadInputError

FACTOR = 3


class Doubler:
    """A class of this module, which workers cannot import."""

    def __init__(self, by: int = 2) -> None:
        self.by = by

    def __call__(self, value: int) -> int:
        return self.by * value


def triple(value: int) -> int:
    return FACTOR * value


def in_a_new_process(file: Path, expression: str) -> str:
    """Evaluates an expression of the unpacked ``things`` where this module is unknown."""
    code = (
        f"import sys; sys.path[:] = [p for p in sys.path if p not in ('', {str(ROOT)!r})]\n"
        f"import pickle; things = pickle.load(open({str(file)!r}, 'rb')); print({expression})"
    )
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd="/", env={"PATH": "/bin"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_functions_closures_lambdas_and_objects_travel_by_value(tmp_path: Path) -> None:
    offset = 10

    def closure(value: int) -> int:
        return triple(value) + offset

    things = {"c": closure, "l": lambda v: v + FACTOR, "o": Doubler(4), "p": partial(triple, 5)}
    file = pack(things, tmp_path)
    expression = "[things['c'](1), things['l'](1), things['o'](1), things['p']()]"
    assert in_a_new_process(file, expression) == "[13, 4, 4, 15]"
    assert unpack(file)["c"](1) == 13


def test_the_same_content_has_the_same_file(tmp_path: Path) -> None:
    assert pack({"f": triple}, tmp_path) == pack({"f": triple}, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    file = pack({"f": triple}, tmp_path / "functions")
    assert file.parent.stat().st_mode & 0o077 == 0
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(BadInputError, match=r"were changed"):
        unpack(file)


def test_what_cannot_travel_is_named(tmp_path: Path) -> None:
    lock = threading.Lock()

    def build(hp: Any) -> None:
        with lock:
            hp.Int("units", 1, 2)

    with pytest.raises(BadInputError, match=r"build: it uses lock, a lock, .*make it inside"):
        pack({"build": build}, tmp_path)
    with pytest.raises(BadInputError, match=r"callbacks: it cannot be sent"):
        pack({"callbacks": iter_of_a_generator()}, tmp_path)


def iter_of_a_generator() -> Any:
    yield 1


def test_a_digest_covers_the_code_and_the_variables_that_it_uses() -> None:
    def made(units: int) -> Any:
        def build(value: int) -> int:
            return units + triple(value)

        return build

    before, same, other = (code_of({"build": made(units)}) for units in (1, 1, 2))
    assert before == same
    changed = [name for name in before if before[name] != other[name]]
    assert changed == ["build: units"]
    assert {"build", "build: units", "build: triple", "build: triple: FACTOR"} <= set(before)


def test_a_digest_covers_methods_and_attributes_of_objects() -> None:
    first, second = (code_of({"build": Doubler(by)}) for by in (2, 3))
    assert first["build"] != second["build"]
    assert first["build.__call__"] == second["build.__call__"]


def test_a_digest_is_the_same_in_every_process() -> None:
    texts, table = {"b", "a", "c"}, {"x": [1, 2.5], "y": np.arange(3)}

    def build() -> Any:
        return texts, table

    digests = {}
    for seed in ("0", "1"):
        code = "import json, tests.api.test_travel as t\nprint(json.dumps(t.digest_of_a_set()))"
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment
        )
        digests[seed] = done.stdout
    assert digests["0"] == digests["1"]
    before = code_of({"build": build})
    table["y"] = np.arange(3) + 1
    changed = [name for name, value in code_of({"build": build}).items() if value != before[name]]
    assert changed == ["build: table"]


def digest_of_a_set() -> dict[str, str]:
    words = {"one", "two", "three", "four"}
    return code_of({"build": lambda: words})


def test_a_function_that_calls_itself_has_a_digest() -> None:
    def factorial(number: int) -> int:
        return 1 if number < 2 else number * factorial(number - 1)

    assert code_of({"f": factorial})
    assert not [name for name in code_of({"f": triple}) if "import" in name]
