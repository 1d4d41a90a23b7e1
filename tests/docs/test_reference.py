"""The reference is that of the code, and the questions name errors that exist."""

import re

import pytest

from docs.pages import ROOT
from docs.reference.errors import messages
from docs.reference.make import HERE, filled

PAGES = sorted(page.name for page in HERE.glob("*.md"))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_what_the_code_says(page: str) -> None:
    text = (HERE / page).read_text("utf-8")
    assert filled(text) == text, "run python -m docs.reference.make"


def test_the_errors_of_the_questions_are_those_of_the_code() -> None:
    questions = (ROOT / "docs/faq.md").read_text("utf-8").partition("## Errors")[2]
    named = re.findall(r"\*\*`([^`]+)`\*\*(?=[,:])", questions)
    assert len(named) > 20
    known = [" ".join(text.split()) for texts in messages().values() for text in texts]
    for error in named:
        parts = [re.escape(part.strip()) for part in error.split("…")]
        pattern = ".*".join(part if part else "" for part in parts)
        assert any(re.search(pattern, text) for text in known), error


def test_every_kind_of_error_is_on_the_page() -> None:
    topics = messages()
    assert {"`data`", "`build`", "`task`", "Going on with a study"} <= set(topics)
    assert sum(map(len, topics.values())) > 200
