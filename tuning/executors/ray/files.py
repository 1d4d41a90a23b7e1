"""Files that workers need on machines where they are not: packed once, unpacked once a machine."""

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

KEEP_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class FileBundle:
    """A file or folder of the driver's machine.

    Attributes:
        path: Where it lies there.
        fingerprint: Of the names, sizes and times of its files; the same path with the same
            fingerprint on another machine is the same file, on storage that both see.
    """

    path: str
    fingerprint: str


def describe(path: Path) -> FileBundle:
    """Describes a file or folder; its contents are not read."""
    return FileBundle(str(path), _fingerprint(path))


def pack(path: Path) -> bytes:
    """Packs a file or folder into one archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(path, arcname="content")
    return stream.getvalue()


def receive(bundle: FileBundle, fetch: Callable[[], bytes], root: Path | None = None) -> Path:
    """The path of a bundle on this machine; unpacks it unless it is here already.

    Args:
        bundle: What is wanted.
        fetch: Gets the archive; called only if it is needed.
        root: Where to unpack, for all processes of this user on this machine.
    """
    from filelock import FileLock

    here = Path(bundle.path)
    if here.exists() and _fingerprint(here) == bundle.fingerprint:
        return here
    root = root or node_folder() / "received"
    root.mkdir(parents=True, exist_ok=True)
    target = root / bundle.fingerprint
    with FileLock(root / f"{bundle.fingerprint}.lock"):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=root) as part:
                with tarfile.open(fileobj=io.BytesIO(fetch())) as archive:
                    # Refuses members outside of the folder, links that leave it, and devices.
                    archive.extractall(part, filter="data")
                shutil.move(Path(part, "content"), target)
    os.utime(target)  # it is in use
    return target


def sweep() -> None:
    """Removes what no study on this machine has used for a week."""
    oldest = time.time() - KEEP_SECONDS
    folder, paths = node_folder(), list[Path]()
    for pattern in ("trials-*", "model-*", "received/*"):
        paths += folder.glob(pattern)
    for path in paths:
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def node_folder() -> Path:
    """Where this user's workers keep files on this machine, beside the system's temporary ones."""
    folder = Path(tempfile.gettempdir(), f"tuning-{_user()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != _user():
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _fingerprint(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    facts = []
    for file in files:
        status = file.stat()
        if file.is_file():
            facts.append([str(file.relative_to(path)), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
