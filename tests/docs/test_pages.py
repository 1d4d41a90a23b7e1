"""The documents: links lead somewhere, lines are short, every block of code is accounted for."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.pages import PAGES, ROOT, blocks
from tuning.study.file import Study, parse_study

LANGUAGES = {"python", "console", "bash", "sh", "yaml", "toml", "json", "text"}
# Rows of tables and lines of programs cannot be broken.
MOST_IN_PROSE, MOST_IN_A_TABLE = 100, 200


def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def prose(page: str) -> str:
    return re.sub(r"```.*?```|<!--.*?-->", "", text_of(page), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings_that_exist(page: str) -> None:
    text = prose(page)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    targets += re.findall(r'(?:src|srcset)="([^"]+)"', text)
    here = ROOT / page
    for target in targets:
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        file = here.parent / path if path else here
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), target


def anchors(file: Path) -> set[str]:
    text = re.sub(r"```.*?```", "", file.read_text("utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_lines_are_short(page: str) -> None:
    for line in prose(page).splitlines():
        limit = MOST_IN_A_TABLE if line.startswith(("|", "![")) else MOST_IN_PROSE
        only_a_link = re.fullmatch(r"\S*\[?\S+\]?\(\S+\)\S*", line.strip())
        assert len(line) <= limit or only_a_link or line.lstrip().startswith("<"), line


def test_every_page_is_listed_in_the_index_and_in_the_site() -> None:
    folder = ROOT / "docs"
    index = text_of("docs/index.md")
    site = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in folder.rglob("*.md"):
        name = str(page.relative_to(folder))
        if name != "index.md":
            assert f"({name})" in index, name
            assert f": {name}\n" in site, name


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_code_has_a_language_and_is_run_or_checked(page: str) -> None:
    for block in blocks(text_of(page)):
        where = f"{page}:{block.line}"
        assert block.language in LANGUAGES, where
        why = block.note("not run")
        assert why is None or len(why.split()) >= 3, f"{where}: say why it is not run"
        if block.language == "yaml" and not block.title and why is None:
            check_yaml(block.code, where)
        if block.language == "toml":
            assert tomllib.loads(block.code)
        if block.language == "json":
            assert json.loads(block.code)


def check_yaml(code: str, where: str) -> None:
    """A part of a study file, which must be one with what every study needs."""
    given: dict[str, Any] = yaml.safe_load(code)
    assert set(given) <= set(Study.model_fields), where
    space = given.get("space", {"units": {"type": "int", "low": 1, "high": 99}})
    least = {
        "name": "page",
        "task": "page:Task",
        "space": space,
        "registered_model": "page",
        "baseline": {n: first_value(space[n]) for n in space if "when" not in space[n]},
    }
    for known in given.get("enqueue", []):
        for name, value in known.items():
            least["space"].setdefault(name, {"type": "choice", "values": [value, 0]})
            least["baseline"].setdefault(name, value)
    for name in given.get("training", {}).values():
        if isinstance(name, str) and name not in ("balanced", "jax"):
            least["space"].setdefault(name, {"type": "int", "low": 1, "high": 9})
            least["baseline"].setdefault(name, 1)
    assert parse_study({**least, **given}, where)


def first_value(declared: dict[str, Any]) -> Any:
    return declared["values"][0] if "values" in declared else declared["low"]
