"""Hooks of the site: pages that are made from the code, and links that leave the documents."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import tuning
from tuning.study.file import Study

DOCS = Path(__file__).parent
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"(```.*?```)", re.DOTALL)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fills a page of the reference, and names the files of the repository that it links to."""
    if page.file.src_uri == "reference/study.md":
        markdown += "\n" + "\n".join(study_fields())
    if page.file.src_uri == "reference/python.md":
        markdown += "\n" + "\n".join(public_names())
    folder = DOCS.joinpath(page.file.src_uri).parent
    parts = FENCE.split(markdown)
    return "".join(
        part if part.startswith("```") else LINK.sub(lambda m: _link(m, folder), part)
        for part in parts
    )


def _link(match: re.Match[str], folder: Path) -> str:
    mark, text, target = match.groups()
    path = target.partition("#")[0]
    if mark or not path or "://" in path:
        return match.group(0)
    file = (folder / path).resolve()
    if file.is_relative_to(DOCS) and file.suffix in (".md", ".svg", ".png"):
        return match.group(0)
    return f"{text} (`{file.relative_to(DOCS.parent)}`)"


def public_names() -> Iterator[str]:
    """Yields what mkdocstrings fills with the docstring of each public name."""
    for name in tuning.__all__:
        if not name.startswith("__"):
            target = getattr(tuning, name)
            module = getattr(target, "__module__", "tuning")
            yield f"::: {module}.{getattr(target, '__qualname__', name)}\n"


def study_fields() -> Iterator[str]:
    """Yields the tables of every field of a study, from the classes that check it."""
    yield from _fields("", Study)
    for name, field in Study.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel) and name != "space":
            yield from _fields(name, section)


def _fields(title: str, section: type[BaseModel]) -> Iterator[str]:
    meanings = _attributes(section.__doc__ or "")
    yield f"\n## {f'`{title}`' if title else 'Top level'}\n"
    yield "| field | default | meaning |\n|---|---|---|"
    for name, field in section.model_fields.items():
        full = f"{title}.{name}" if title else name
        yield f"| `{full}` | {_default(field)} | {meanings.get(name, '')} |"


def _default(field: Any) -> str:
    if field.default_factory is not None or isinstance(field.default, BaseModel):
        return ""
    if field.default is PydanticUndefined:
        return "required"
    if field.default is None:
        return "none"
    return f"`{field.default}`" if field.default != "" else ""


def _attributes(docstring: str) -> dict[str, str]:
    """Returns the meaning of each attribute of a docstring in Google's style."""
    _, _, section = docstring.partition("Attributes:")
    found = re.findall(r"^ {8}(\w+): (.*?)(?=^ {8}\w+: |\Z)", section, re.DOTALL | re.MULTILINE)
    return {name: " ".join(text.split()).replace("|", "\\|") for name, text in found}
