"""Folders that are written once and found again by a digest; processes may share them."""

import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Names the digest and all other files; its presence says that the folder is complete.
META = "meta.json"


def read_meta(folder: Path, digest: str) -> dict[str, Any] | None:
    """Reads what a cached folder says about itself.

    Args:
        folder: The folder.
        digest: The key that it must have been stored under.

    Returns:
        The content of its ``meta.json``; None where the folder is missing, incomplete or other.
    """
    try:
        meta: dict[str, Any] = json.loads((folder / META).read_text("utf-8"))
        whole = meta["digest"] == digest and all(
            (folder / name).exists() for name in meta["files"]
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return meta if whole else None


def store(folder: Path, digest: str, write: Callable[[Path], None]) -> None:
    """Writes a folder so that others see either all of it or nothing.

    Args:
        folder: Where it shall be. A complete one that is there already stays.
        digest: The key that it is stored under.
        write: Writes the files, ``meta.json`` last, into the empty folder that it is given.

    Raises:
        Exception: Whatever ``write`` raises; nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    target = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    try:
        target.mkdir()
        write(target)
        try:
            os.replace(target, folder)
        except OSError:
            # Another process was first, or an older folder is there and incomplete.
            if read_meta(folder, digest) is None:
                os.replace(folder, target.with_name(f"{target.name}-old"))
                os.replace(target, folder)
    finally:
        shutil.rmtree(target, ignore_errors=True)
        shutil.rmtree(target.with_name(f"{target.name}-old"), ignore_errors=True)
