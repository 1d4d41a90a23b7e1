"""What the page about Python says of the examples and of the public names."""

import json
import re

import pytest

import tuning
from tests.stand_in import ROOT

PAGE = (ROOT / "docs/how-to/python.md").read_text("utf-8")
ROWS = re.findall(r"\| \[(\S+)\]\(../../examples/python/\S+\) \| (\d+) \|", PAGE)


def code_lines(name: str) -> int:
    text = (ROOT / "examples/python" / name).read_text("utf-8")
    if name.endswith(".ipynb"):
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines()
    )


@pytest.mark.parametrize(("name", "lines"), ROWS)
def test_the_lines_of_an_example_are_counted_right(name: str, lines: str) -> None:
    assert code_lines(name) == int(lines)


def test_every_example_is_listed() -> None:
    files = {file.name for file in (ROOT / "examples/python").iterdir() if file.is_file()}
    assert {name for name, _ in ROWS} == files


def test_every_public_name_can_be_had_and_is_documented() -> None:
    for name in tuning.__all__:
        assert getattr(tuning, name) is not None
    assert set(dir(tuning)) == set(tuning.__all__)
    assert tuning.integrations.optuna.MlflowCallback
    with pytest.raises(AttributeError, match="no attribute 'ray'"):
        tuning.integrations.ray  # noqa: B018
    with pytest.raises(AttributeError, match="module 'tuning' has no attribute 'tun'"):
        tuning.tun  # noqa: B018
