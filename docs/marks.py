"""Parts of pages that programs write: from ``<!-- begin NAME -->`` to ``<!-- end NAME -->``."""

import re
from collections.abc import Callable

MARKS = re.compile(r"<!-- begin (\S+) -->.*?<!-- end \1 -->", re.DOTALL)


def filled(page: str, make: Callable[[str], str]) -> str:
    """Returns a page in which every part has what ``make`` returns for its name."""
    return MARKS.sub(lambda match: _part(match[1], make(match[1])), page)


def replaced(page: str, name: str, content: str) -> str:
    """Returns a page with another content of one part.

    Raises:
        ValueError: The page has no such part, or several.
    """
    if MARKS.findall(page).count(name) != 1:
        raise ValueError(f"the page has no marks of {name}, or several")
    return MARKS.sub(lambda m: _part(name, content) if m[1] == name else m[0], page)


def _part(name: str, content: str) -> str:
    return f"<!-- begin {name} -->\n{content}\n<!-- end {name} -->"
