"""A reader of Keras's ``imdb.npz`` that executes nothing found in the file.

The archive is not unpacked to disk, its size is bounded, labels are read without pickle, and the
object arrays of reviews go through ``pipelines.imdb.pickled``. What comes out is checked.
"""

import json
import math
import pickle
import zipfile
import zlib
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from pipelines.imdb.errors import DataError
from pipelines.imdb.pickled import PickledArray, load_object_row
from pipelines.imdb.text import INDEX_FROM, IntArray

MEMBERS = ("x_train.npy", "y_train.npy", "x_test.npy", "y_test.npy")
MAX_UNCOMPRESSED_BYTES = 2**30
# Text ranks compress to about two thirds and sorted labels to a thousandth, so that only the ratio
# of a member too large for labels tells a bomb.
MAX_COMPRESSION_RATIO = 100
RATIO_CHECKED_FROM_BYTES = 16 * 2**20
MAX_RANK = int(np.iinfo(np.int32).max) - INDEX_FROM

_BROKEN_FILE = (
    zipfile.BadZipFile,
    zlib.error,
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class RankedReviews:
    """One split of the file.

    Attributes:
        ranks: One array of word ranks per review, each of shape (words,).
        labels: 1 for a positive review and 0 for a negative one, of shape (reviews,).
    """

    ranks: list[IntArray]
    labels: IntArray


def read_npz(path: Path) -> tuple[RankedReviews, RankedReviews]:
    """Reads and checks an ``imdb.npz``.

    Args:
        path: The file.

    Returns:
        The training and the test split, in the order of the file.

    Raises:
        DataError: The file is damaged, not in the form of Keras's ``imdb.npz``, or not safe.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive)
            return _read_split(archive, "train"), _read_split(archive, "test")
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except _BROKEN_FILE as error:
        found = f"{type(error).__name__}: {error}"
        raise DataError(f"{path} is damaged or not a file of word ranks ({found})") from error


def read_word_index(path: Path) -> dict[str, int]:
    """Reads the word index that belongs to an ``imdb.npz``.

    Args:
        path: A JSON file of an object from word to rank.

    Returns:
        Word to rank, without offset.

    Raises:
        DataError: The file is not such an object.
    """
    try:
        words = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error})") from error
    if not isinstance(words, dict) or set(map(type, words.values())) != {int}:
        raise DataError(f"{path} is not an object from word to rank")
    return words


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    names = sorted(member.filename for member in members)
    if names != sorted(MEMBERS):
        raise DataError(f"expected exactly {', '.join(MEMBERS)}; found {', '.join(names[:10])}")
    total = sum(member.file_size for member in members)
    if total > MAX_UNCOMPRESSED_BYTES:
        raise DataError(
            f"unpacks to {total:,} bytes; at most {MAX_UNCOMPRESSED_BYTES:,} are accepted"
        )
    for member in members:
        ratio = member.file_size / max(1, member.compress_size)
        if member.file_size > RATIO_CHECKED_FROM_BYTES and ratio > MAX_COMPRESSION_RATIO:
            raise DataError(f"{member.filename} is compressed {ratio:.0f} times; refused")


def _read_split(archive: zipfile.ZipFile, split: str) -> RankedReviews:
    labels = _read_labels(archive, f"y_{split}.npy")
    ranks = _read_ranks(archive, f"x_{split}.npy")
    if len(ranks) != len(labels):
        raise DataError(f"{split}: {len(ranks)} reviews but {len(labels)} labels")
    return RankedReviews(ranks, labels)


def _read_labels(archive: zipfile.ZipFile, member: str) -> IntArray:
    with archive.open(member) as stream:
        shape, dtype = _read_header(stream)
        if dtype.kind not in "iu" or len(shape) != 1:
            raise DataError(f"{member} must be a row of integers; found {dtype} of shape {shape}")
        expected = math.prod(shape) * dtype.itemsize
        content = stream.read(expected + 1)
    if len(content) != expected:
        raise DataError(f"{member} does not hold the {shape[0]} labels its header announces")
    labels = np.frombuffer(content, dtype=dtype)
    unknown = labels[(labels != 0) & (labels != 1)]
    if unknown.size:
        raise DataError(f"{member}: labels must be 0 or 1; found {unknown[0]}")
    return labels.astype(np.int32)


def _read_ranks(archive: zipfile.ZipFile, member: str) -> list[IntArray]:
    with archive.open(member) as stream:
        shape, dtype = _read_header(stream)
        if dtype != np.dtype(object) or len(shape) != 1:
            raise DataError(
                f"{member} must be an object array of lists; found {dtype} of shape {shape}"
            )
        rows = load_object_row(stream)
    if not rows:
        raise DataError(f"{member} holds no reviews")
    if len(rows) != shape[0]:
        raise DataError(f"{member}: {len(rows)} reviews but its header announces {shape[0]}")
    return _checked_ranks(rows, member)


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], "np.dtype[Any]"]:
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(stream)
    if version not in read_header:
        raise DataError(f"unsupported .npy version {version}")
    try:
        shape, _, dtype = read_header[version](stream)
    except Exception as error:  # found by fuzzing: not only the ValueError that NumPy documents
        raise DataError(f"the header of an array is damaged ({error})") from error
    return shape, dtype


def _checked_ranks(rows: list[object], member: str) -> list[IntArray]:
    lists: list[list[int]] = []
    for number, row in enumerate(rows):
        if type(row) is not list:
            raise DataError(f"{member}: review {number} is a {_kind(row)}, not a list of ranks")
        other = set(map(type, row)) - {int}
        if other:
            raise DataError(f"{member}: review {number} holds a {other.pop().__name__}, not ranks")
        lists.append(row)
    lengths = [len(row) for row in lists]
    flat = np.fromiter(chain.from_iterable(lists), dtype=np.int64, count=sum(lengths))
    if flat.size and not (flat.min() >= 1 and flat.max() <= MAX_RANK):
        raise DataError(f"{member}: ranks from {flat.min()} to {flat.max()}; they start at 1")
    return np.split(flat.astype(np.int32), np.cumsum(lengths)[:-1])


def _kind(value: object) -> str:
    return "nested array" if isinstance(value, PickledArray) else type(value).__name__
