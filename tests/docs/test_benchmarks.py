"""The page of the benchmarks has a dated table of each one that `make bench` measures."""

import re

import pytest

from benchmarks.tables import BENCHMARKS, PAGE, replaced

TEXT = PAGE.read_text("utf-8")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_benchmark_has_a_dated_table_with_its_machine(name: str) -> None:
    (found,) = re.findall(rf"<!-- begin {name} -->(.*?)<!-- end {name} -->", TEXT, re.DOTALL)
    assert re.search(rf"Measured on \d{{4}}-\d\d-\d\d by `python -m benchmarks\.{name}", found)
    assert re.search(r"\d cores, \d+ GiB", found)
    assert re.search(r"^\|[-|:]+\|$", found, re.MULTILINE)


def test_a_new_measurement_takes_the_place_of_the_old_one() -> None:
    page = "before\n<!-- begin speed -->\nold\n<!-- end speed -->\nafter"
    new = replaced(page, "speed", "Measured today.\n", "machine\n| a |\n|---|\n| 1 |\n")
    assert "old" not in new
    assert new.startswith("before") and new.endswith("after")
    assert "machine\n\n| a |" in new, "a table needs an empty line before it"


def test_a_benchmark_without_a_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="no marks of speed"):
        replaced("nothing", "speed", "", "")
