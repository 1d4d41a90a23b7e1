"""Follows a SQLite store that was moved or copied with its files.

MLflow stores the absolute address of every folder of files. After a move, it would not find them;
after a copy, it would write new files into the old place.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
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


def follow_move(database: Path) -> list[str]:
    """Corrects the addresses of files that are beside the database now.

    Files count as moved if a folder of a run is found beside the database, under the same path as
    below the old folder of the store. Files that are kept elsewhere on purpose are left alone.

    Args:
        database: File of the store.

    Returns:
        The old folders of the store; empty if it was not moved.
    """
    folder = database.absolute().parent
    with closing(sqlite3.connect(database, timeout=20)) as connection:
        old_folders = sorted({old for old in _old_folders(connection, folder) if old is not None})
        for old in old_folders:
            # A path as it is, and a URI.
            for before, after in (
                (str(old), str(folder)),
                (old.as_uri(), folder.as_uri()),
                (f"{_FILE}{old}", folder.as_uri()),
            ):
                _replace(connection, f"{before}/", f"{after}/")
        connection.commit()
    for old in old_folders:
        _log.warning(
            "MLflow's store was moved from %s to %s; it uses the files that are beside it now",
            old,
            folder,
        )
    return [str(old) for old in old_folders]


def path_of(address: str) -> Path | None:
    """Returns the local path of an address of files; None for an address elsewhere."""
    if address.startswith(_FILE):
        return Path(unquote(address.removeprefix(_FILE)))
    return None if "://" in address or address.startswith("mlflow-artifacts:") else Path(address)


def _old_folders(connection: sqlite3.Connection, folder: Path) -> Iterator[Path | None]:
    try:
        # One run per experiment tells where its files are.
        rows = connection.execute(
            "SELECT artifact_uri FROM runs GROUP BY experiment_id"
        ).fetchall()
    except sqlite3.Error:
        return  # the tables are not made yet
    for (address,) in rows:
        path = path_of(address or "")
        if path is None or not path.is_absolute() or path.is_relative_to(folder):
            continue
        # The path of a run ends with mlruns/<experiment>/<run>/artifacts.
        parts = path.parts
        suffixes = (Path(*parts[start:]) for start in range(1, len(parts) - 2))
        found = next((suffix for suffix in suffixes if (folder / suffix).is_dir()), None)
        yield None if found is None else Path(*parts[: len(parts) - len(found.parts)])


def _replace(connection: sqlite3.Connection, before: str, after: str) -> None:
    for table, column in _ADDRESSES:
        try:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE substr({column}, 1, ?) = ?",
                (after, len(before) + 1, len(before), before),
            )
        except sqlite3.OperationalError:
            continue  # a version of MLflow without this column
