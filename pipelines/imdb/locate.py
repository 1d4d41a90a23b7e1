"""Where the reviews come from: a path, a known folder, Keras's cache, a download, or none."""

import os
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.imdb.errors import DataError

DIR_VARIABLE = "TUNING_IMDB_DIR"
NPZ_NAME = "imdb.npz"
ARCHIVE_NAME = "aclImdb_v1.tar.gz"
WORD_INDEX_NAME = "imdb_word_index.json"
# Both as in keras.datasets.imdb.
NPZ_SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
_WORD_INDEX_MD5 = "bfafd718b763782e994055a2d397834f"
_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
PROBE_SECONDS = 3.0
ACCEPTED = (
    "auto, imdb, synthetic, or the path of an imdb.npz, of aclImdb_v1.tar.gz, of its unpacked "
    "folder, or of a .csv with the columns review and sentiment"
)

Kind = Literal["npz", "archive", "folder", "csv", "synthetic"]
Label = Literal["imdb", "synthetic"]
_ENDINGS: dict[str, Kind] = {".npz": "npz", ".tar.gz": "archive", ".tgz": "archive", ".csv": "csv"}


@dataclass(frozen=True)
class Source:
    """The form of the reviews, their path, what figures on them are called, why synthetic ones."""

    kind: Kind
    path: Path | None
    label: Label
    fallback_reason: str | None = None


def resolve(dataset: str, env: Mapping[str, str] = os.environ) -> Source:
    """Finds, without reading them, the reviews that a data set's name or path means.

    ``imdb`` looks into the folder that TUNING_IMDB_DIR names, then into Keras's cache, and then
    downloads the file as Keras does. Where all of that fails, it raises a DataError, as a path
    does that holds no reviews, whereas ``auto`` takes synthetic reviews.
    """
    if dataset == "synthetic":
        return Source("synthetic", None, "synthetic")
    if dataset not in ("auto", "imdb"):
        path = Path(dataset).expanduser()
        if source := _find(path):
            return source
        problem = "in no known form" if path.exists() else "no data set or path"
        raise DataError(f"{dataset!r} is {problem}; accepted are {ACCEPTED}")
    named = env.get(DIR_VARIABLE)
    if named and Path(named).expanduser().is_dir() and (source := _find(Path(named).expanduser())):
        return source
    try:
        return Source("npz", _from_keras(NPZ_NAME, NPZ_SHA256, env), "imdb")
    except DataError as error:
        setting = f"names {named!r}, which holds none" if named else "is not set"
        reason = (
            f"the IMDB reviews cannot be had: {DIR_VARIABLE} {setting}, {error}. Point "
            f"{DIR_VARIABLE} to a folder that holds {NPZ_NAME} (with {WORD_INDEX_NAME}) or "
            f"{ARCHIVE_NAME}, or pass the path of such a file."
        )
        if dataset == "imdb":
            raise DataError(reason) from error
        return Source("synthetic", None, "synthetic", reason)


def find_word_index(npz: Path, sha256: str, env: Mapping[str, str] = os.environ) -> Path | None:
    """Finds the word index of an ``imdb.npz``: beside it or, for Keras's own file, at Keras."""
    beside = npz.parent / WORD_INDEX_NAME
    if beside.is_file():
        return beside
    try:
        is_keras_file = sha256 == NPZ_SHA256
        return _from_keras(WORD_INDEX_NAME, _WORD_INDEX_MD5, env) if is_keras_file else None
    except DataError:
        return None


def _find(path: Path) -> Source | None:
    for file in (path / NPZ_NAME, path / ARCHIVE_NAME, path):
        for ending, kind in _ENDINGS.items():
            if file.is_file() and file.name.lower().endswith(ending):
                return Source(kind, file, "imdb")
    for folder in (path / "aclImdb", path):
        if (folder / "train").is_dir() and (folder / "test").is_dir():
            return Source("folder", folder, "imdb")
    return None


def _from_keras(name: str, file_hash: str, env: Mapping[str, str]) -> Path:
    home = Path(env.get("KERAS_HOME") or "~/.keras").expanduser()
    cached, url = home / "datasets" / name, _ORIGIN + name
    if cached.is_file():
        return cached
    timeout = socket.getdefaulttimeout()
    try:
        _probe(url)
        import keras

        socket.setdefaulttimeout(10)
        return Path(keras.utils.get_file(name, url, file_hash=file_hash, cache_dir=str(home)))
    # Keras raises bare Exception where a download fails.
    except Exception as error:
        problem = f"{cached} does not exist, and the download of {url} failed ({error})"
        raise DataError(problem) from error
    finally:
        socket.setdefaulttimeout(timeout)


def _probe(url: str) -> None:
    """Fails within seconds where the host cannot be reached, unlike the download itself."""
    target = urllib.parse.urlsplit(urllib.request.getproxies().get("https") or url)
    address = (target.hostname or "", target.port or (443 if target.scheme == "https" else 80))
    problems = [f"no answer within {PROBE_SECONDS:g} s"]

    def connect() -> None:
        try:
            socket.create_connection(address, PROBE_SECONDS).close()
            problems.clear()
        except OSError as error:
            problems[:] = [str(error)]

    # In a thread, because looking up the name has no time limit; a daemon holds up no exit.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    if problems:
        raise OSError(f"{address[0]} cannot be reached ({problems[0]})")
