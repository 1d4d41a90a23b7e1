"""SQLite stores that have their tables: making them takes seconds, and a copy does not."""

import atexit
import shutil
import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path


@cache
def empty_store() -> Path:
    """The file of an initialised store, made once per process; not to be written to."""
    from tuning.tracking.store import open_store

    folder = Path(tempfile.mkdtemp(prefix="tuning-test-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    open_store(f"sqlite:///{folder / 'mlflow.db'}")
    return folder / "mlflow.db"


def copy_store(source: Path, target: Path) -> None:
    """Copies a store with what is still in its log."""
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(target)) as there:
        here.backup(there)
