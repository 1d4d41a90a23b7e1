"""Cached folders that are written once and found by a digest. Processes may share them."""

import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

# File with the digest and the names of all other files. It is written last, so a folder that has
# it is complete.
META = "meta.json"


def read_meta(folder: Path, digest: str) -> dict[str, Any] | None:
    """Reads the description of a cached folder.

    Args:
        folder: Path of the folder.
        digest: Digest under which the folder must have been stored.

    Returns:
        The content of its ``meta.json``; None if the folder is missing or incomplete, or has
        another digest.
    """
    try:
        meta: dict[str, Any] = json.loads((folder / META).read_text("utf-8"))
        complete = meta["digest"] == digest and all(
            (folder / name).exists() for name in meta["files"]
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return meta if complete else None


def store(folder: Path, digest: str, write: Callable[[Path], None]) -> None:
    """Writes a folder so that other processes see either all of it or nothing.

    Args:
        folder: Path of the folder. A complete folder that exists already is kept.
        digest: Digest under which the folder is stored.
        write: Function that writes the files into a given empty folder, ``meta.json`` last.

    Raises:
        Exception: The function ``write`` raised it; no files remain.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    target = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    try:
        target.mkdir()
        write(target)
        try:
            os.replace(target, folder)
        except OSError:
            # Another process was faster, or an older folder exists that does not match the digest.
            if read_meta(folder, digest) is None:
                os.replace(folder, target.with_name(f"{target.name}-old"))
                os.replace(target, folder)
    finally:
        shutil.rmtree(target, ignore_errors=True)
        shutil.rmtree(target.with_name(f"{target.name}-old"), ignore_errors=True)
