"""Folder on this machine for the models and checkpoints of a study until MLflow has them."""

import re
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path

# Folder of all workspaces, in the cache folder.
FOLDER = "trials"
# File with the id of the cache folder.
PLACE = "place"
# Age in seconds at which the workspace of another study is removed.
KEEP_SECONDS = 30 * 24 * 3600


def new_token() -> str:
    """Returns a random name for a workspace; the study has no run yet that could give a name."""
    return uuid.uuid4().hex


def open_workspace(cache_dir: Path, token: str) -> Path:
    """Returns the workspace of a study and creates it if it is missing.

    Also removes workspaces of other studies that are older than ``KEEP_SECONDS``.

    Args:
        cache_dir: Folder of prepared data, compiled programs and workspaces.
        token: Name of the workspace, 32 hexadecimal digits. Any other text is replaced by a new
            token.
    """
    if not re.fullmatch("[0-9a-f]{32}", token):
        # The token comes from the record of the study. A changed record must not name another
        # folder, because the workspace is removed in the end.
        token = new_token()
    root = cache_dir.absolute() / FOLDER
    folder = root / token
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(root, folder)
    return folder


def machine_id(cache_dir: Path) -> str:
    """Returns a permanent id of a cache folder; equal paths on two machines have different ids."""
    file = cache_dir.absolute() / PLACE
    file.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), file.open("x", encoding="ascii") as stream:
        stream.write(new_token())
    return file.read_text("ascii").strip() or new_token()


def clear(folder: Path) -> None:
    """Removes the folder of a study or trial; files that cannot be removed stay."""
    shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path, workspace: Path) -> None:
    oldest = time.time() - KEEP_SECONDS
    for folder in root.iterdir():
        with suppress(OSError):
            if folder != workspace and folder.stat().st_mtime < oldest:
                clear(folder)
