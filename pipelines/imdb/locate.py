"""Where the reviews come from: a path, a known folder, Keras's cache, a download, or none."""

import os
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.imdb.errors import DataError

DIR_VARIABLE = "TUNING_IMDB_DIR"
NPZ_NAME = "imdb.npz"
ARCHIVE_NAME = "aclImdb_v1.tar.gz"
FOLDER_NAME = "aclImdb"
WORD_INDEX_NAME = "imdb_word_index.json"

# Both as in keras.datasets.imdb.
NPZ_SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
_WORD_INDEX_MD5 = "bfafd718b763782e994055a2d397834f"
_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"

PROBE_SECONDS = 3.0
_STALL_SECONDS = 10.0

ACCEPTED = (
    "auto, imdb, synthetic, or the path of an imdb.npz, of aclImdb_v1.tar.gz, of its unpacked "
    "folder, or of a .csv with the columns review and sentiment"
)

Kind = Literal["npz", "archive", "folder", "csv", "synthetic"]
Label = Literal["imdb", "synthetic"]


@dataclass(frozen=True)
class Source:
    """Where the reviews are.

    Attributes:
        kind: The form they are in.
        path: The file or folder; None for synthetic reviews.
        label: What figures measured on them may be called.
        fallback_reason: Why ``auto`` had to take synthetic reviews; None where it did not.
    """

    kind: Kind
    path: Path | None
    label: Label
    fallback_reason: str | None = None


def resolve(dataset: str, env: Mapping[str, str] = os.environ) -> Source:
    """Finds the reviews that a data set's name or path means.

    Args:
        dataset: ``auto``, ``imdb``, ``synthetic`` or a path. ``imdb`` looks into the folder that
            TUNING_IMDB_DIR names, then into Keras's cache, and then downloads the file as Keras
            does; ``auto`` takes synthetic reviews where all of that fails.
        env: The environment variables.

    Returns:
        The source, which has been found but not read.

    Raises:
        DataError: There is no such data set or path, or ``imdb`` cannot be had.
    """
    if dataset == "synthetic":
        return Source("synthetic", None, "synthetic")
    if dataset not in ("auto", "imdb"):
        return _resolve_path(dataset)
    try:
        return _resolve_imdb(env)
    except DataError as error:
        if dataset == "imdb":
            raise
        return Source("synthetic", None, "synthetic", fallback_reason=str(error))


def find_word_index(
    npz: Path, npz_sha256: str, env: Mapping[str, str] = os.environ
) -> Path | None:
    """Finds the word index by which an ``imdb.npz`` was made.

    Args:
        npz: The file of ranks. A word index beside it is taken to be its own.
        npz_sha256: Its digest. Keras's index, cached or downloaded, fits Keras's file only.
        env: The environment variables.

    Returns:
        The path of the index, or None where there is none to be had.
    """
    beside = npz.parent / WORD_INDEX_NAME
    if beside.is_file():
        return beside
    if npz_sha256 != NPZ_SHA256:
        return None
    cached = _keras_home(env) / "datasets" / WORD_INDEX_NAME
    if cached.is_file():
        return cached
    try:
        return _download(WORD_INDEX_NAME, _WORD_INDEX_MD5, env)
    except DataError:
        return None


def _resolve_path(dataset: str) -> Source:
    path = Path(dataset).expanduser()
    if not path.exists():
        raise DataError(f"there is no data set or path {dataset!r}; accepted are {ACCEPTED}")
    source = _in_folder(path) if path.is_dir() else _of_file(path)
    if source is None:
        raise DataError(f"{dataset!r} is in no known form; accepted are {ACCEPTED}")
    return source


def _of_file(path: Path) -> Source | None:
    forms: dict[str, Kind] = {
        ".npz": "npz",
        ".tar.gz": "archive",
        ".tgz": "archive",
        ".csv": "csv",
    }
    for suffix, kind in forms.items():
        if path.name.lower().endswith(suffix):
            return Source(kind, path, "imdb")
    return None


def _in_folder(folder: Path) -> Source | None:
    if (folder / NPZ_NAME).is_file():
        return Source("npz", folder / NPZ_NAME, "imdb")
    if (folder / ARCHIVE_NAME).is_file():
        return Source("archive", folder / ARCHIVE_NAME, "imdb")
    for candidate in (folder / FOLDER_NAME, folder):
        if (candidate / "train").is_dir() and (candidate / "test").is_dir():
            return Source("folder", candidate, "imdb")
    return None


def _resolve_imdb(env: Mapping[str, str]) -> Source:
    named = env.get(DIR_VARIABLE)
    if named and (source := _in_folder(Path(named).expanduser())):
        return source
    cached = _keras_home(env) / "datasets" / NPZ_NAME
    if cached.is_file():
        return Source("npz", cached, "imdb")
    try:
        return Source("npz", _download(NPZ_NAME, NPZ_SHA256, env), "imdb")
    except DataError as error:
        tried = f"names {named!r}, which holds none" if named else "is not set"
        raise DataError(
            f"the IMDB reviews cannot be had: {DIR_VARIABLE} {tried}, {cached} does not exist, "
            f"and {error}. Point {DIR_VARIABLE} to a folder that holds {NPZ_NAME} (with "
            f"{WORD_INDEX_NAME}) or {ARCHIVE_NAME}, or pass the path of such a file."
        ) from error


def _keras_home(env: Mapping[str, str]) -> Path:
    return Path(env.get("KERAS_HOME") or "~/.keras").expanduser()


def _download(name: str, file_hash: str, env: Mapping[str, str]) -> Path:
    url = _ORIGIN + name
    _probe(url)
    import keras

    try:
        with _stall_limit():
            return Path(
                keras.utils.get_file(
                    fname=name, origin=url, file_hash=file_hash, cache_dir=str(_keras_home(env))
                )
            )
    # Keras raises bare Exception where a download fails.
    except Exception as error:
        raise DataError(f"the download of {url} failed ({error})") from error


def _probe(url: str) -> None:
    """Fails within seconds where the host cannot be reached, unlike the download itself."""
    proxy = urllib.request.getproxies().get("https")
    target = urllib.parse.urlsplit(proxy or url)
    address = (target.hostname or "", target.port or (443 if target.scheme == "https" else 80))
    failure: list[str] = [f"no answer within {PROBE_SECONDS:g} s"]

    def connect() -> None:
        try:
            socket.create_connection(address, timeout=PROBE_SECONDS).close()
            failure.clear()
        except OSError as error:
            failure[:] = [str(error)]

    # The name is looked up in a thread because that has no time limit of its own.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    if failure:
        raise DataError(f"{address[0]} cannot be reached ({failure[0]})")


@contextmanager
def _stall_limit() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_STALL_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
