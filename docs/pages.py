"""The code of the documents: what stands in a page, and what a reader would get from it.

A page is Markdown. These comments, directly before a block of code, say how it is run; a reader
does not see them:

- ``<!-- not run: WHY -->``: it is not run.
- ``<!-- instead: COMMAND -->``: this command is run, because the shown one takes too long.
- ``<!-- background: URL -->``: its last command goes on until the end of the page; the next block
  begins when the address answers.
- ``<!-- exit 2 -->``: its last command ends with this exit code.

Comments that begin with ``sh:`` or ``python:`` are run where they stand, to prepare what follows.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    str(page.relative_to(ROOT))
    for page in (ROOT / "README.md", ROOT / "examples/README.md", *(ROOT / "docs").rglob("*.md"))
)


@dataclass(frozen=True)
class Block:
    """A block of code, or a comment that is run.

    Attributes:
        language: First word after the fence; ``sh`` or ``python`` of a comment.
        title: File that a reader makes of it; empty if it is none.
        code: The code.
        line: Its first line in the page, from 1.
        notes: The comments before it, without their marks.
    """

    language: str
    title: str
    code: str
    line: int
    notes: tuple[str, ...] = ()

    def note(self, name: str) -> str | None:
        """Returns what a comment of this name says; None if there is none."""
        found = [text for text in self.notes if text.startswith(name)]
        return found[0].removeprefix(name).lstrip(": ") if found else None

    def commands(self) -> Iterator[tuple[str, str]]:
        """Yields each command of a session with what the page shows as its output."""
        if self.language in ("bash", "sh"):
            yield self.code.strip(), ""
            return
        command: list[str] = []
        output: list[str] = []
        goes_on = False
        for line in self.code.splitlines():
            if goes_on or line.startswith("$ "):
                if not goes_on and command:
                    yield "\n".join(command), "\n".join(output)
                    command, output = [], []
                command.append(line if goes_on else line.removeprefix("$ "))
                goes_on = line.endswith("\\") or "\n".join(command).count("'") % 2 == 1
            else:
                output.append(line)
        if command:
            yield "\n".join(command), "\n".join(output)


def blocks(text: str) -> list[Block]:
    """Returns the blocks of a page in their order."""
    found: list[Block] = []
    notes: list[str] = []
    for token in MarkdownIt("commonmark").parse(text):
        line = (token.map or (0, 0))[0] + 1
        if token.type == "html_block":
            for comment in re.findall(r"<!--(.*?)-->", token.content, re.DOTALL):
                language, colon, code = comment.strip().partition(":")
                if colon and language in ("sh", "python"):
                    found.append(Block(language, "", code.strip("\n"), line, ("hidden",)))
                else:
                    notes.append(comment.strip())
        elif token.type == "fence":
            language, _, rest = token.info.strip().partition(" ")
            title = re.search(r'title="([^"]+)"', rest)
            name = title.group(1) if title else ""
            found.append(Block(language, name, token.content, line, tuple(notes)))
            notes = []
        elif token.type == "inline":
            notes = []
    return found
