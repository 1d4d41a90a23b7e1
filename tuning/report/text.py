"""Tables as plain text for a terminal."""

import shutil
import textwrap
from collections.abc import Sequence

TABLE_WIDTH = 96
MIN_COLUMN = 24


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Returns a table as text; its last column is wrapped to the width of the terminal."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    room = shutil.get_terminal_size((TABLE_WIDTH, 24)).columns - sum(widths[:-1]) - 2 * len(widths)
    widths[-1] = min(widths[-1], max(MIN_COLUMN, room))
    lines: list[str] = []
    for row in [rows[0], ["─" * width for width in widths], *rows[1:]]:
        wrapped = textwrap.wrap(row[-1], widths[-1]) or [""]
        for number, part in enumerate(wrapped):
            cells = [*row[:-1], part] if number == 0 else [*[""] * (len(row) - 1), part]
            padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)
