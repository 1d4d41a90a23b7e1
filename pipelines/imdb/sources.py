"""Readers of all forms of reviews: an ``imdb.npz``, Stanford's archive or folder, and a CSV.

A file may come from anywhere: what it holds is not run, not unpacked to disk, and bounded in size.
What cannot be read or is not safe raises a DataError that names the file, the place and the cause.
"""

import csv
import gzip
import json
import pickle
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from pipelines.imdb.errors import DataError
from pipelines.imdb.text import INDEX_FROM

MAX_TOTAL_BYTES = 2**30
MAX_REVIEW_BYTES = 2**20
SEED = 113  # as in keras.datasets.imdb
_READ_HEADER = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_FOLDERS = ("test/neg", "test/pos", "train/neg", "train/pos")
_MEMBER_NAME = re.compile(r"(?:\./)?aclImdb/((?:train|test)/(?:pos|neg)/\d+_\d+\.txt)")
_LABELS = {"positive": 1, "pos": 1, "1": 1, "negative": 0, "neg": 0, "0": 0}


@dataclass(frozen=True)
class Reviews:
    """Per review its text, word ranks or encoded words, and its label: 1 positive, 0 negative."""

    rows: list[Any]
    labels: list[int]

    def select(self, indexes: Iterable[int]) -> "Reviews":
        """Returns the reviews with these indexes, in their order."""
        return Reviews([self.rows[i] for i in indexes], [self.labels[i] for i in indexes])


def read_stanford(path: Path) -> tuple[Reviews, Reviews]:
    """Reads ``aclImdb_v1.tar.gz``, or the folder unpacked from it, in order of class and name.

    Links, devices and what is outside Stanford's layout are ignored.
    """
    with _naming(path):
        texts = dict(_folder_texts(path) if path.is_dir() else _archive_texts(path))
        for folder in _FOLDERS:
            if not any(name.startswith(folder) for name in texts):
                raise DataError(f"holds no reviews in {folder} (ID_RATING.txt)")
    names = sorted(texts)
    reviews = Reviews([texts[name] for name in names], [int("/pos/" in name) for name in names])
    test_rows = sum(name.startswith("test") for name in names)
    return reviews.select(range(test_rows, len(names))), reviews.select(range(test_rows))


def review_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yields name and file of each review in an ``aclImdb`` folder, sorted; ignores links."""
    for name in _FOLDERS:
        category = folder / name
        if category.is_symlink() or category.parent.is_symlink() or not category.is_dir():
            continue
        for file in sorted(category.iterdir()):
            match = _MEMBER_NAME.fullmatch(f"aclImdb/{name}/{file.name}")
            if match and file.is_file() and not file.is_symlink():
                yield match[1], file


def read_csv(path: Path) -> tuple[Reviews, Reviews]:
    """Reads a table in UTF-8 and halves it, always alike, with the classes balanced.

    Of its columns, ``review`` and ``sentiment`` (positive, pos or 1; negative, neg or 0) count.
    """
    with _naming(path), path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        table = csv.DictReader(lines)
        columns = list(table.fieldnames or [])
        if missing := {"review", "sentiment"} - set(columns):
            raise DataError(f"lacks the column {min(missing)!r}; its columns are {columns[:10]}")
        rows = list(table)
        labels = np.array([_label_of(row, number) for number, row in enumerate(rows, start=1)])
        random = np.random.RandomState(SEED)
        in_train = np.zeros(len(labels), dtype=bool)
        for label, name in ((0, "negative"), (1, "positive")):
            same = np.flatnonzero(labels == label)
            if len(same) < 2:
                raise DataError(f"needs at least two {name} reviews; found {len(same)}")
            in_train[random.permutation(same)[: len(same) // 2]] = True
    reviews = Reviews([row["review"] for row in rows], labels.tolist())
    return reviews.select(np.flatnonzero(in_train)), reviews.select(np.flatnonzero(~in_train))


def read_npz(path: Path) -> tuple[Reviews, Reviews]:
    """Reads the training and the test split of Keras's file, each review as word ranks."""
    with _naming(path), zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
        if names != ["x_test.npy", "x_train.npy", "y_test.npy", "y_train.npy"]:
            raise DataError(f"must hold x and y of train and test; found {', '.join(names[:10])}")
        total = sum(member.file_size for member in archive.infolist())
        if total > MAX_TOTAL_BYTES:
            raise DataError(f"unpacks to {total:,} bytes; at most {MAX_TOTAL_BYTES:,} are read")
        for member in archive.infolist():
            ratio = member.file_size / max(1, member.compress_size)
            # Sorted labels compress to a thousandth, so the ratio of small members tells nothing.
            if member.file_size > 16 * 2**20 and ratio > 100:
                raise DataError(f"{member.filename} is compressed {ratio:.0f} times; refused")
        train = Reviews(_read_ranks(archive, "x_train.npy"), _read_labels(archive, "y_train.npy"))
        test = Reviews(_read_ranks(archive, "x_test.npy"), _read_labels(archive, "y_test.npy"))
        for name, split in (("train", train), ("test", test)):
            if (rows := len(split.rows)) != (labels := len(split.labels)):
                raise DataError(f"{name}: {rows} reviews but {labels} labels")
    return train, test


def read_word_index(path: Path) -> dict[str, int]:
    """Reads the word index of an ``imdb.npz``, from word to rank without offset."""
    with _naming(path):
        words: dict[str, int] = json.loads(path.read_text("utf-8"))
        if not isinstance(words, dict) or set(map(type, words.values())) != {int}:
            raise DataError("not a JSON object from word to rank")
    return words


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Names the file in what is raised, which is nearly anything where it is damaged."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise DataError(f"{path} is damaged or cannot be read ({cause})") from error


class _BoundedGzip(gzip.GzipFile):
    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(size)
        if self.tell() > MAX_TOTAL_BYTES:
            raise DataError(f"unpacks to more than {MAX_TOTAL_BYTES:,} bytes")
        return chunk


def _archive_texts(path: Path) -> Iterator[tuple[str, str]]:
    with _BoundedGzip(path) as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as archive:
        for member in archive:
            match = _MEMBER_NAME.fullmatch(member.name)
            if match and member.isreg() and (stream := archive.extractfile(member)):
                _check_size(member.size, member.name)
                yield match[1], stream.read().decode("utf-8", errors="replace")


def _folder_texts(path: Path) -> Iterator[tuple[str, str]]:
    for name, file in review_files(path):
        _check_size(file.stat().st_size, name)
        yield name, file.read_text("utf-8", errors="replace")


def _check_size(size: int, name: str) -> None:
    if size > MAX_REVIEW_BYTES:
        raise DataError(f"{name} has {size:,} bytes; a review has at most {MAX_REVIEW_BYTES:,}")


def _label_of(row: dict[str, str], number: int) -> int:
    # The csv module keeps surplus fields under None: a review with an unquoted comma, as a rule.
    if None in row:
        raise DataError(f"row {number}: more fields than columns; quote the review")
    review, sentiment = row["review"], row["sentiment"]
    if not any(map(str.isalpha, review or "")):
        raise DataError(f"row {number}: the review is not a text: {review!r:.60}")
    label = _LABELS.get((sentiment or "").strip().lower())
    if label is None:
        raise DataError(f"row {number}: unknown sentiment {sentiment!r:.60}, none of {[*_LABELS]}")
    return label


def _read_labels(archive: zipfile.ZipFile, member: str) -> list[int]:
    count, dtype, stream = _open_array(archive, member, "iu")
    # Not by numpy.load, which reserves the memory that the header announces.
    content = stream.read()
    if len(content) != count * dtype.itemsize:
        raise DataError(f"{member} does not hold the {count} labels its header announces")
    labels: list[int] = np.frombuffer(content, dtype=dtype).tolist()
    if others := set(labels) - {0, 1}:
        raise DataError(f"{member}: labels must be 0 or 1; found {min(others)}")
    return labels


def _read_ranks(archive: zipfile.ZipFile, member: str) -> list[Any]:
    count, _, stream = _open_array(archive, member, "O")
    rows = _unpickle(stream, member)
    if not rows or len(rows) != count:
        raise DataError(f"{member} holds {len(rows)} reviews; its header announces {count}")
    for number, row in enumerate(rows):
        if type(row) is not list:
            raise DataError(f"{member}: review {number} is a {type(row).__name__}, not a list")
        if others := set(map(type, row)) - {int}:
            raise DataError(f"{member}: review {number} holds a {others.pop().__name__}, no rank")
    lengths = [len(row) for row in rows]
    flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=sum(lengths))
    if flat.size and not (flat.min() >= 1 and flat.max() <= np.iinfo(np.int32).max - INDEX_FROM):
        raise DataError(f"{member}: ranks from {flat.min()} to {flat.max()}; they start at 1")
    return np.split(flat.astype(np.int32), np.cumsum(lengths)[:-1])


def _open_array(archive: zipfile.ZipFile, member: str, kinds: str) -> tuple[int, Any, BytesIO]:
    stream = BytesIO(archive.read(member))
    version = npy.read_magic(stream)
    if version not in _READ_HEADER:
        raise DataError(f"{member} has the unsupported .npy version {version}")
    shape, _, dtype = _READ_HEADER[version](stream)
    if dtype.kind not in kinds or len(shape) != 1:
        form = "lists" if kinds == "O" else "integers"
        raise DataError(f"{member} must be a row of {form}; found {dtype} of shape {shape}")
    return shape[0], dtype, stream


@dataclass(repr=False)
class NumpyObject:
    """What a pickle says of an object: the name that it calls, with what, and the state it sets.

    Unpickling calls whatever a pickle names. Here it calls these records, which run nothing.
    """

    name: str
    arguments: tuple[object, ...] = ()
    state: object = None

    def __call__(self, *arguments: object) -> "NumpyObject":
        """Records the call."""
        return NumpyObject(self.name, arguments)

    def __setstate__(self, state: object) -> None:
        self.state = state


_CORE = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
_NAMES = _CORE | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
# Pickles of protocol 2 write the bytes b"b" as a call.
_CODES = (b"b", "b", NumpyObject("encode", ("b", "latin1")))
_EMPTY_ARRAYS = [(NumpyObject("ndarray"), (0,), code) for code in _CODES]


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NumpyObject:
        if (module, name) not in _NAMES:
            raise DataError(f"its pickle names {module}.{name}; refused, nothing was run")
        return NumpyObject(name)


def _unpickle(stream: BytesIO, member: str) -> list[Any]:
    match _Unpickler(stream).load():
        case NumpyObject(
            "_reconstruct",
            arguments,
            (int(), (int() as count,), NumpyObject("dtype", (code, *_)), int(), list() as rows),
        ) if arguments in _EMPTY_ARRAYS and code in ("O", "O4", "O8", "|O") and count == len(rows):
            return rows
    raise DataError(f"{member}: its pickle is not one flat array of objects")
