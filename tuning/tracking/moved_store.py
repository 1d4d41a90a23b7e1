"""Follows a SQLite store that was moved or copied with its files.

MLflow stores the absolute address of every folder of files. After a move, it would not find them;
after a copy, it would write new files into the old place.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

_log = logging.getLogger(__name__)

# Columns of MLflow's tables that hold addresses of files.
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_FILE = "file://"
# Runs per experiment that are looked at, the newest ones.
_RUNS = 200


@dataclass(frozen=True)
class _Move:
    """A folder of files that is found beside the database now."""

    old: Path
    new: Path

    def of(self, address: str) -> str | None:
        """Returns the address after the move; None if the move does not concern it."""
        path = path_of(address)
        if path is None or path.is_relative_to(self.new) or not path.is_relative_to(self.old):
            return None
        moved = self.new / path.relative_to(self.old)
        return moved.as_uri() if address.startswith(_FILE) else str(moved)


def follow_move(database: Path) -> list[str]:
    """Corrects the addresses of files that are beside the database now.

    The folder of an experiment counts as moved if files of its runs are found beside the database,
    and none are found only in the old place. Files that are kept elsewhere are left alone.

    Args:
        database: File of the store.

    Returns:
        The old folders; empty if nothing was moved.
    """
    folder = database.absolute().parent
    with closing(sqlite3.connect(database, timeout=20)) as connection:
        moves = list(dict.fromkeys(_moves(connection, folder)))
        if moves:
            with connection:  # all of it, or nothing
                for table, column in _ADDRESSES:
                    _correct(connection, table, column, moves)
    for move in moves:
        _log.warning(
            "MLflow's files were moved from %s to %s and are used there", move.old, move.new
        )
    return [str(move.old) for move in moves]


def path_of(address: str) -> Path | None:
    """Returns the local path of an address of files; None for an address elsewhere."""
    if address.startswith(_FILE):
        return Path(unquote(address.removeprefix(_FILE)))
    return None if "://" in address or address.startswith("mlflow-artifacts:") else Path(address)


def _moves(connection: sqlite3.Connection, folder: Path) -> Iterator[_Move]:
    try:
        rows = connection.execute("SELECT experiment_id, artifact_location FROM experiments")
        experiments = rows.fetchall()
    except sqlite3.OperationalError:
        return  # the tables are not made yet
    for number, address in experiments:
        old = path_of(address or "")
        if old is None or not old.is_absolute() or old.is_relative_to(folder):
            continue
        suffixes = (Path(*old.parts[start:]) for start in range(1, len(old.parts)))
        suffix = next((each for each in suffixes if (folder / each).is_dir()), None)
        if suffix is None:
            continue
        move = _Move(old, folder / suffix)
        runs = connection.execute(
            "SELECT artifact_uri FROM runs WHERE experiment_id = ? "
            f"ORDER BY start_time DESC LIMIT {_RUNS}",
            (number,),
        )
        if _is_certain(move, [row[0] for row in runs]):
            yield move


def _is_certain(move: _Move, addresses: list[str]) -> bool:
    found = 0
    for address in addresses:
        before, moved = path_of(address), move.of(address)
        after = path_of(moved) if moved else None
        if before is None or after is None:
            continue
        if before.exists() and not after.exists():
            return False  # the files beside the database are older ones
        found += after.exists()
    return found > 0


def _correct(connection: sqlite3.Connection, table: str, column: str, moves: list[_Move]) -> None:
    try:
        rows = connection.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()
    except sqlite3.OperationalError as error:
        if "no such" in str(error):
            return  # a version of MLflow without this table or column
        raise
    for (address,) in rows:
        moved = next(filter(None, (move.of(address or "") for move in moves)), None)
        if moved is not None:
            connection.execute(
                f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (moved, address)
            )
