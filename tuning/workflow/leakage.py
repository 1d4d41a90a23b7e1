"""Looks for rows that stand in two parts of a study's data."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tuning.core.steps import say_step
from tuning.data.leakage import SharedRows, shared_rows
from tuning.data.parts import Part
from tuning.workflow.preparation import PreparedStudy

# Raise it if other rows count as shared.
_RULE = "2"


def count_shared_rows(prepared: PreparedStudy) -> str:
    """Counts rows that stand in two parts; the counts are kept for the next study on the data.

    Args:
        prepared: Study whose data are not released yet.

    Returns:
        The counts in words; empty if there are none.
    """
    folder = prepared.plan.options.cache_dir / "shared_rows"
    output = prepared.plan.options.output
    return "; ".join(map(_describe, _counted(prepared.parts, prepared.content, folder, output)))


def _counted(
    parts: Mapping[str, Part], content: str, folder: Path, output: str
) -> list[SharedRows]:
    file = folder / f"{content}-{'-'.join(parts)}-{_RULE}.json"
    with suppress(OSError, ValueError, TypeError):
        return [SharedRows(**each) for each in json.loads(file.read_text("utf-8"))]
    say_step(output, "Looking for rows that stand in two parts of the data")
    found = shared_rows(parts)
    with suppress(OSError):  # then they are counted again
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([asdict(each) for each in found]), "utf-8")
    return found


def _describe(shared: SharedRows) -> str:
    counts = []
    if shared.equal:
        counts.append(f"{shared.equal:,} equal")
    if shared.similar:
        counts.append(f"{shared.similar:,} nearly equal")
    share = (shared.equal + shared.similar) / shared.rows
    least = "at least " if shared.at_least else ""
    return (
        f"{least}{' and '.join(counts)} of {shared.rows:,} {shared.part} rows ({share:.2%}) stand "
        f"in {shared.earlier} too"
    )
