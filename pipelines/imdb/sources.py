"""Readers of raw reviews: Stanford's archive or its unpacked folder, and a CSV.

Nothing is unpacked to disk, links are not followed, and sizes are bounded, so that a hostile file
can cost an error but nothing else.
"""

import csv
import gzip
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.imdb.errors import DataError

MAX_REVIEW_BYTES = 2**20
MAX_TOTAL_BYTES = 2**30
SPLIT_SEED = 113
CSV_COLUMNS = ("review", "sentiment")

_LAYOUT = re.compile(r"(?:\./)?aclImdb/(train|test)/(pos|neg)/(\d+_\d+\.txt)")
_FILE_NAME = re.compile(r"\d+_\d+\.txt")
_LABELS = {"positive": 1, "pos": 1, "1": 1, "negative": 0, "neg": 0, "0": 0}


@dataclass(frozen=True)
class Reviews:
    """Raw reviews in a reproducible order.

    Attributes:
        texts: The reviews.
        labels: For each, 1 if it is positive and 0 if it is negative.
    """

    texts: list[str]
    labels: list[int]


def read_archive(path: Path) -> tuple[Reviews, Reviews]:
    """Reads Stanford's ``aclImdb_v1.tar.gz``.

    Args:
        path: The archive. Links, devices and members outside Stanford's layout are ignored.

    Returns:
        The official training and test split, in order of class and file name.

    Raises:
        DataError: The archive is damaged, too large, or lacks reviews of some class.
    """
    found: dict[tuple[str, str, str], str] = {}
    try:
        with _BoundedGzip(path) as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as archive:
            for member in archive:
                match = _LAYOUT.fullmatch(member.name)
                if match is None or not member.isreg():
                    continue
                _check_size(member.size, member.name)
                stream = archive.extractfile(member)
                assert stream is not None, "regular members always have a stream"
                split, category, name = match.groups()
                found[split, category, name] = stream.read().decode("utf-8", errors="replace")
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise DataError(f"{path} is damaged or not a tar.gz archive ({error})") from error
    return _split_found(found, path)


def read_folder(path: Path) -> tuple[Reviews, Reviews]:
    """Reads the unpacked archive.

    Args:
        path: The ``aclImdb`` folder. Symbolic links in it are not followed.

    Returns:
        The official training and test split, in order of class and file name.

    Raises:
        DataError: A review is too large, or reviews of some class are missing.
    """
    found: dict[tuple[str, str, str], str] = {}
    for relative, file in review_files(path):
        split, category, name = relative.split("/")
        try:
            _check_size(file.stat().st_size, relative)
            found[split, category, name] = file.read_text("utf-8", errors="replace")
        except OSError as error:
            raise DataError(f"{file} cannot be read ({error})") from error
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
    return _split_found(found, path)


def review_files(path: Path) -> Iterator[tuple[str, Path]]:
    """Lists the reviews of an unpacked archive.

    Args:
        path: The ``aclImdb`` folder.

    Yields:
        The path of each review relative to the folder, with forward slashes, and the file;
        sorted. Links, also of folders, are left out.
    """
    for split in ("test", "train"):
        for category in ("neg", "pos"):
            folder = path / split / category
            if (path / split).is_symlink() or folder.is_symlink() or not folder.is_dir():
                continue
            with os.scandir(folder) as entries:
                names = sorted(
                    entry.name
                    for entry in entries
                    if _FILE_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
                )
            for name in names:
                yield f"{split}/{category}/{name}", folder / name


def read_csv(path: Path) -> tuple[Reviews, Reviews]:
    """Reads a table of reviews and splits it into two halves of the same class balance.

    Args:
        path: A CSV in UTF-8 with the columns ``review`` and ``sentiment`` (positive, pos or 1;
            negative, neg or 0). Other columns are ignored.

    Returns:
        The training and the test half; the same for the same file.

    Raises:
        DataError: A column is missing, there are no rows, or a row is not a review with a label.
    """
    texts: list[str] = []
    labels: list[int] = []
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
            rows = csv.DictReader(lines)
            _check_columns(rows.fieldnames, path)
            for number, row in enumerate(rows, start=1):
                texts.append(_review_of(row, number, path))
                labels.append(_label_of(row, number, path))
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV ({error})") from error
    if not texts:
        raise DataError(f"{path} has no rows")
    return _halves(Reviews(texts, labels), path)


class _BoundedGzip(gzip.GzipFile):
    """Ends in an error where more than ``MAX_TOTAL_BYTES`` come out of it."""

    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(size)
        if self.tell() > MAX_TOTAL_BYTES:
            raise DataError(f"unpacks to more than {MAX_TOTAL_BYTES:,} bytes")
        return chunk


def _check_size(size: int, name: str) -> None:
    if size > MAX_REVIEW_BYTES:
        raise DataError(f"{name} has {size:,} bytes; a review has at most {MAX_REVIEW_BYTES:,}")


def _split_found(found: dict[tuple[str, str, str], str], path: Path) -> tuple[Reviews, Reviews]:
    if not found:
        raise DataError(
            f"{path} holds no reviews (aclImdb/{{train,test}}/{{pos,neg}}/ID_RATING.txt)"
        )
    present = {(split, category) for split, category, _ in found}
    for split in ("train", "test"):
        for category in ("pos", "neg"):
            if (split, category) not in present:
                raise DataError(f"{path} holds no reviews in {split}/{category}")
    return _of_split(found, "train"), _of_split(found, "test")


def _of_split(found: dict[tuple[str, str, str], str], split: str) -> Reviews:
    keys = sorted(key for key in found if key[0] == split)
    return Reviews([found[key] for key in keys], [int(key[1] == "pos") for key in keys])


def _check_columns(names: object, path: Path) -> None:
    if not isinstance(names, list):
        raise DataError(f"{path} is empty")
    missing = [column for column in CSV_COLUMNS if column not in names]
    if missing:
        listed = ", ".join(map(repr, names[:10]))
        raise DataError(f"{path} lacks the column {missing[0]!r}; its columns are {listed}")


def _review_of(row: dict[str, str], number: int, path: Path) -> str:
    # The reader keeps surplus fields under None: a review with an unquoted comma, as a rule.
    if None in row:
        raise DataError(f"{path}, row {number}: more fields than columns; quote the review")
    review = row["review"]
    if not review or not any(map(str.isalpha, review)):
        raise DataError(f"{path}, row {number}: the review is not a text: {_short(review)}")
    return review


def _label_of(row: dict[str, str], number: int, path: Path) -> int:
    value = row["sentiment"]
    label = _LABELS.get((value or "").strip().lower())
    if label is None:
        accepted = ", ".join(_LABELS)
        raise DataError(
            f"{path}, row {number}: unknown sentiment {_short(value)}; accepted are {accepted}"
        )
    return label


def _short(value: str | None) -> str:
    return repr(value if value is None or len(value) <= 60 else f"{value[:60]}…")


def _halves(reviews: Reviews, path: Path) -> tuple[Reviews, Reviews]:
    labels = np.array(reviews.labels)
    random = np.random.RandomState(SPLIT_SEED)
    in_train = np.zeros(len(labels), dtype=bool)
    for label, name in ((0, "negative"), (1, "positive")):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 2:
            raise DataError(f"{path} needs at least two {name} reviews; found {len(rows)}")
        in_train[random.permutation(rows)[: len(rows) // 2]] = True
    return _select(reviews, np.flatnonzero(in_train)), _select(reviews, np.flatnonzero(~in_train))


def _select(reviews: Reviews, rows: "np.ndarray[tuple[int], np.dtype[np.intp]]") -> Reviews:
    return Reviews([reviews.texts[row] for row in rows], [reviews.labels[row] for row in rows])
