"""Files that workers need on other machines: packed once, unpacked once per machine."""

import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Age in seconds at which files of a node are removed.
KEEP_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class FileBundle:
    """A file or folder of the driver's machine that nodes need.

    Attributes:
        path: Path on the driver's machine.
        fingerprint: Hash of the names, sizes and modification times of the files. If a node has
            the same path with the same fingerprint, driver and node share the storage.
    """

    path: str
    fingerprint: str


def describe(path: Path) -> FileBundle:
    """Describes a file or folder without reading its contents."""
    return FileBundle(str(path), _fingerprint(path))


def pack(path: Path) -> bytes:
    """Packs a file or folder into one archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(path, arcname="content")
    return stream.getvalue()


def receive(bundle: FileBundle, fetch: Callable[[], bytes], root: Path | None = None) -> Path:
    """Returns the path of a bundle on this machine, and unpacks the bundle if it is missing.

    Args:
        bundle: Bundle that a worker needs.
        fetch: Function that returns the archive; called only if the bundle is missing.
        root: Folder into which all processes of this user on this machine unpack bundles; None
            for the default folder.
    """
    from filelock import FileLock

    shared_path = Path(bundle.path)
    if shared_path.exists() and _fingerprint(shared_path) == bundle.fingerprint:
        return shared_path
    root = root or node_folder() / "received"
    root.mkdir(parents=True, exist_ok=True)
    unpacked = root / bundle.fingerprint
    with FileLock(root / f"{bundle.fingerprint}.lock"):
        if not unpacked.exists():
            with tempfile.TemporaryDirectory(dir=root) as part:
                with tarfile.open(fileobj=io.BytesIO(fetch())) as archive:
                    # The filter refuses members and links outside the folder, and device files.
                    archive.extractall(part, filter="data")
                shutil.move(Path(part, "content"), unpacked)
    os.utime(unpacked)  # so that `sweep` keeps it
    return unpacked


def sweep() -> None:
    """Removes files of workers on this machine that have not changed for a week."""
    oldest = time.time() - KEEP_SECONDS
    folder, paths = node_folder(), list[Path]()
    for pattern in ("trials-*", "model-*", "received/*"):
        paths += folder.glob(pattern)
    for path in paths:
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def node_folder() -> Path:
    """Returns the temporary folder of this user's workers on this machine.

    Raises:
        PermissionError: The folder belongs to another user.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir(), f"tuning-{user}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != user:
        raise PermissionError(f"{folder} belongs to another user; set TMPDIR to another folder")
    return folder


def _fingerprint(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    entries = []
    for file in files:
        status = file.stat()
        if file.is_file():
            entries.append([str(file.relative_to(path)), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()[:32]
