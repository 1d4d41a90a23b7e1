"""The README is one screen, and its code is short and complete."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text("utf-8")


def test_it_is_one_screen() -> None:
    lines = TEXT.splitlines()
    assert len(lines) <= 100
    assert all(len(line) <= 300 for line in lines)


def test_its_code_is_short_and_complete() -> None:
    (code,) = re.findall(r"```python[^\n]*\n(.*?)```", TEXT, re.DOTALL)
    tree = ast.parse(code)
    statements = [line for line in code.splitlines() if line.strip()]
    assert len(statements) <= 14
    assert {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} == {"build"}
