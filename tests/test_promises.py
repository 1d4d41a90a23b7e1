"""The list of promises names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LINES = [
    line
    for line in (TESTS / "promises.md").read_text("utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| promise |")
]


def names_in(file: Path) -> set[str]:
    """The names of a file's tests, also of those in a class that others inherit."""
    tree = ast.parse(file.read_text("utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return {name for name in functions if name.startswith("test_")}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split(" |")[0].lstrip("| ")[:60])
def test_every_promise_has_its_test(line: str) -> None:
    promise, place, test = (cell.strip() for cell in line.strip("|").split(" | "))
    assert promise.endswith(".") and place
    path, name = re.fullmatch(r"([\w/]+\.py)::(test_\w+)", test).groups()  # type: ignore[union-attr]
    base = TESTS.parent if path.startswith("tuning/") else TESTS  # the contract tests
    assert name in names_in(base / path)


def test_no_promise_is_made_twice() -> None:
    promises = [line.split(" | ")[0] for line in LINES]
    assert len(set(promises)) == len(promises) > 150
