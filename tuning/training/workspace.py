"""Where a study's workers keep models and checkpoints until MLflow has them, on this machine."""

import re
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path

FOLDER = "trials"
PLACE = "place"
# A study that nobody went on with for so long is not worth its disk.
KEEP_SECONDS = 30 * 24 * 3600


def new_token() -> str:
    """Names the workspace of a new study, before there is a run to name it after."""
    return uuid.uuid4().hex


def open_workspace(cache_dir: Path, token: str) -> Path:
    """Makes a study's folder, or finds what an earlier process left there.

    Args:
        cache_dir: Where prepared data and compiled programs are kept too.
        token: Of the study.
    """
    if not re.fullmatch("[0-9a-f]{32}", token):
        # It comes from the record, and whoever writes that must not choose a folder to be removed.
        token = new_token()
    root = cache_dir.absolute() / FOLDER
    folder = root / token
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(root, folder)
    return folder


def machine_id(cache_dir: Path) -> str:
    """Names a cache folder for ever, so that two machines with folders of one path differ."""
    file = cache_dir.absolute() / PLACE
    file.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), file.open("x", encoding="ascii") as stream:
        stream.write(new_token())
    return file.read_text("ascii").strip() or new_token()


def clear(folder: Path) -> None:
    """Removes a study's or a trial's files; what cannot be removed is left for the next sweep."""
    shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path, but: Path) -> None:
    oldest = time.time() - KEEP_SECONDS
    for folder in root.iterdir():
        with suppress(OSError):
            if folder != but and folder.stat().st_mtime < oldest:
                clear(folder)
