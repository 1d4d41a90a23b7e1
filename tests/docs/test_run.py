"""What the pages show is what their code prints; ``docs/run.py`` runs them."""

import pytest

from docs.pages import PAGES, blocks
from docs.run import is_run, matches, run_page


def test_figures_and_names_of_trials_may_differ() -> None:
    shown = "best (optuna-004)  58.14 ± 0.063  better; gain +108.8\n──────"
    assert matches(shown, "best (keras_tuner-011)  60.2 ± 1.3  better; gain +99.1\n────")
    assert not matches(shown, shown.replace("better", "worse"))


def test_run_ids_may_differ_also_where_a_table_breaks_them() -> None:
    shown = "by tune 8bd8a78eef5f\n        4d91902619a27297778c"
    assert matches(shown, "by tune c1e14a6ebf56\n        44d09ff3b175450095a7")
    assert not matches(shown, "by hand c1e14a6ebf56\n        44d09ff3b175450095a7")


def test_dots_stand_for_anything() -> None:
    assert matches("a\n…\nend", "a\nb\nc\nend")
    assert matches("…\nend", "b\nend")
    assert not matches("a\n…\nend", "b\nend")
    assert not matches("a", "a\nb")


def test_lines_of_mlflow_are_left_out() -> None:
    assert matches("done", "2026/11/27 10:06:34 INFO mlflow.store: Creating tables...\ndone")


def test_a_session_is_cut_into_commands_and_outputs() -> None:
    (block,) = blocks("```console\n$ one \\\n    --two\nout\n$ three\n```")
    assert [*block.commands()] == [("one \\\n    --two", "out"), ("three", "")]


def test_comments_steer_the_block_that_follows() -> None:
    page = '<!-- exit 3 -->\n```console\n$ no\n```\n\ntext\n\n```python title="a.py"\n1\n```\n'
    first, second = blocks(page)
    assert first.note("exit") == "3"
    assert (second.title, second.notes) == ("a.py", ())


def test_hidden_code_is_found_in_its_place() -> None:
    page = "<!-- sh:\ncd examples\n-->\n\n```console\n$ ls\n```\n"
    assert [block.code.strip() for block in blocks(page)] == ["cd examples", "$ ls"]


@pytest.mark.full
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("page", [page for page in PAGES if is_run(page)])
def test_a_page_shows_what_its_code_prints(page: str) -> None:
    run_page(page)
