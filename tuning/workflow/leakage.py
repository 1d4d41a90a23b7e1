"""Looks for rows that stand in two parts of a study's data, before anything is trained."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tuning.core.trial import Params
from tuning.data.leakage import SharedRows, check_apart, shared_rows
from tuning.data.loading import Loader
from tuning.data.parts import Part

# Raise it if other rows count as shared.
_RULE = "1"


def find_shared_rows(
    loader: Loader, parts: Mapping[str, Part], params: Params, digest: str, cache_dir: Path
) -> list[SharedRows]:
    """Counts rows that stand in two parts; the counts are kept for the next study on the data.

    Args:
        loader: Loader of the data.
        parts: Parts by name.
        params: Hyperparameters with which the parts were loaded.
        digest: Digest of the data.
        cache_dir: Folder of what is kept.

    Raises:
        BadInputError: The targets of a row reach into a later part, or a group is in two parts.
    """
    check_apart({name: loader.dependence(params, name) for name in parts})
    file = cache_dir / "shared_rows" / f"{digest}-{'-'.join(parts)}-{_RULE}.json"
    with suppress(OSError, ValueError, TypeError):
        return [SharedRows(**each) for each in json.loads(file.read_text("utf-8"))]
    found = shared_rows(parts)
    with suppress(OSError):  # then they are counted again
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([asdict(each) for each in found]), "utf-8")
    return found


def describe_shared_rows(found: list[SharedRows]) -> str:
    """Says in words how many rows stand in two parts; empty if there are none."""
    return "; ".join(map(_describe, found))


def _describe(shared: SharedRows) -> str:
    counts = []
    if shared.equal:
        counts.append(f"{shared.equal:,} equal")
    if shared.similar:
        counts.append(f"{shared.similar:,} nearly equal")
    share = (shared.equal + shared.similar) / shared.rows
    return (
        f"{' and '.join(counts)} of {shared.rows:,} {shared.part} rows ({share:.2%}) stand in "
        f"{shared.earlier} too"
    )
