"""Hooks of the site: pages that are made from the code, and links that leave the documents."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tuning

DOCS = Path(__file__).parent
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"(```.*?```)", re.DOTALL)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fills a page of the reference, and names the files of the repository that it links to."""
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
