"""The reviews as arrays: prepared once, cached by content, and read without copying.

The part that a search may see (training and validation) and the test part are separate files, and
``load_arrays`` gives one or the other.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from pipelines.imdb import sources, synthetic, text
from pipelines.imdb.cache import META, read_meta, store
from pipelines.imdb.content import Content, read_content
from pipelines.imdb.errors import DataError
from pipelines.imdb.locate import Label, Source, find_word_index, resolve
from pipelines.imdb.text import IntArray

__all__ = [
    "DataError",
    "Prepared",
    "Source",
    "load_arrays",
    "load_test_lengths",
    "load_test_texts",
    "load_vocabulary",
    "prepare",
    "resolve",
]

# Part of the digest: raise it whenever the same reviews would give other arrays.
FORMAT_VERSION = 1
# Part of the folder's name: raise it whenever a folder holds more or other files.
LAYOUT_VERSION = 2
_PARTS = {"search": ("train", "validation"), "test": ("test",)}
_VOCABULARY = "vocabulary.json"
_TEST_TEXTS = "test_texts.jsonl"


@dataclass(frozen=True)
class Prepared:
    """A data set that is ready to train on.

    Attributes:
        label: What figures measured on it may be called.
        name: The name of the file or folder, or ``synthetic``.
        source: Its path, or ``synthetic``.
        digest: SHA-256 of the raw content, the parameters and the version of the format.
        test_digest: SHA-256 of the test reviews and their labels, before they are encoded.
        folder: Where the arrays are.
        sizes: Reviews in each split: train, validation and test.
        fallback_reason: Why synthetic reviews stand in for real ones; None where they do not.
        num_words: Upper bound (exclusive) of the indexes in the arrays.
        max_len: Length of the rows, in tokens.
    """

    label: Label
    name: str
    source: str
    digest: str
    test_digest: str
    folder: Path
    sizes: dict[str, int]
    fallback_reason: str | None
    num_words: int
    max_len: int


def prepare(
    source: Source,
    *,
    num_words: int = 10_000,
    max_len: int = 200,
    validation_share: float = 0.2,
    cache_dir: Path,
    env: Mapping[str, str] = os.environ,
) -> Prepared:
    """Turns reviews into padded arrays, unless the cache holds them already.

    The training split is shuffled, and its last part becomes the validation split. Where the
    reviews are raw text, the vocabulary is fitted on what remains for training.

    Args:
        source: What ``resolve`` returned.
        num_words: Upper bound (exclusive) of the indexes; rarer words become "unknown".
        max_len: Length of every row, in tokens. Synthetic reviews are shorter and get shorter
            rows.
        validation_share: Share of the official training split that becomes the validation split.
        cache_dir: Where prepared data sets are kept. Several processes may share it.
        env: The environment variables, for finding the word index of an ``imdb.npz``.

    Returns:
        The prepared data set.

    Raises:
        DataError: The reviews cannot be read, or they are too few.
        ValueError: A parameter is out of range.
    """
    if num_words <= text.INDEX_FROM + 1:
        raise ValueError(f"num_words must be above {text.INDEX_FROM + 1}; got {num_words}")
    if max_len < 1:
        raise ValueError(f"max_len must be at least 1; got {max_len}")
    if not 0 < validation_share < 1:
        raise ValueError(f"validation_share must lie between 0 and 1; got {validation_share}")
    word_index, raw_digest = _fingerprint(source, env)
    key = [FORMAT_VERSION, source.kind, raw_digest, num_words, max_len, validation_share]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    folder = cache_dir.absolute() / f"{digest[:16]}-{LAYOUT_VERSION}"
    meta = read_meta(folder, digest)
    if meta is None:
        content = read_content(source, word_index, num_words, max_len, validation_share)
        store(folder, digest, lambda target: _write(target, digest, content))
        meta = read_meta(folder, digest)
        assert meta is not None, "what was stored a moment ago can be read"
    return Prepared(
        label=source.label,
        name=source.path.name if source.path else "synthetic",
        source=str(source.path) if source.path else "synthetic",
        digest=digest,
        test_digest=meta["test_digest"],
        folder=folder,
        sizes=meta["sizes"],
        fallback_reason=source.fallback_reason,
        num_words=meta["num_words"],
        max_len=meta["max_len"],
    )


def load_arrays(
    prepared: Prepared | Path, split: Literal["search", "test"]
) -> dict[str, tuple[IntArray, IntArray]]:
    """Maps the arrays of one part of a prepared data set into memory, read-only.

    Args:
        prepared: The data set, or its folder.
        split: ``search`` for what a search may see, ``test`` for what may only judge its result.

    Returns:
        For ``search`` the keys ``train`` and ``validation``, for ``test`` the key ``test``: rows
        of shape (reviews, max_len) and labels of shape (reviews,).

    Raises:
        DataError: The folder holds no prepared data set.
        ValueError: There is no such split.
    """
    if split not in _PARTS:
        raise ValueError(f"split must be one of {', '.join(_PARTS)}; got {split!r}")
    folder = _folder_of(prepared)
    return {
        part: (_load(folder / f"x_{part}.npy"), _load(folder / f"y_{part}.npy"))
        for part in _PARTS[split]
    }


def load_test_lengths(prepared: Prepared | Path) -> IntArray:
    """Maps the lengths of the test reviews in tokens, before truncation, shape (reviews,)."""
    return _load(_folder_of(prepared) / "length_test.npy")


def load_test_texts(prepared: Prepared | Path) -> list[str] | None:
    """Reads the texts of the test reviews; None where only ranks are known."""
    path = _folder_of(prepared) / _TEST_TEXTS
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def load_vocabulary(prepared: Prepared | Path) -> dict[str, int] | None:
    """Reads the vocabulary, word to index with the offset; None where it is not known."""
    path = _folder_of(prepared) / _VOCABULARY
    if not path.exists():
        return None
    vocabulary: dict[str, int] = json.loads(path.read_text("utf-8"))
    return vocabulary


def _folder_of(prepared: Prepared | Path) -> Path:
    return prepared.folder if isinstance(prepared, Prepared) else prepared


def _load(path: Path) -> IntArray:
    try:
        array: IntArray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not part of a prepared data set ({error})") from error
    return array


def _fingerprint(source: Source, env: Mapping[str, str]) -> tuple[Path | None, str]:
    """Finds what the reviews are read with, and digests the raw content of both."""
    path = source.path
    if path is None:
        # What the generated reviews say depends on the code that generates them.
        return None, _digest_file(Path(synthetic.__file__))
    try:
        if source.kind == "folder":
            return None, _digest_folder(path)
        digest = _digest_file(path)
        word_index = find_word_index(path, digest, env) if source.kind == "npz" else None
        return word_index, f"{digest}+{_digest_file(word_index)}" if word_index else digest
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error})") from error


def _digest_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest_folder(path: Path) -> str:
    digest = hashlib.sha256()
    for name, file in sources.review_files(path):
        digest.update(f"{name} {file.stat().st_size} {_digest_file(file)}\n".encode())
    return digest.hexdigest()


def _write(folder: Path, digest: str, content: Content) -> None:
    for part, reviews in content.parts.items():
        if not reviews.rows:
            raise DataError(f"too few reviews: none is left for the {part} split")
        np.save(folder / f"x_{part}.npy", text.pad(reviews.rows, content.max_len))
        np.save(folder / f"y_{part}.npy", np.asarray(reviews.labels, dtype=np.int32))
    lengths = np.array([len(sequence) for sequence in content.parts["test"].rows], dtype=np.int32)
    np.save(folder / "length_test.npy", lengths)
    if content.vocabulary is not None:
        (folder / _VOCABULARY).write_text(
            json.dumps(content.vocabulary, ensure_ascii=False), "utf-8"
        )
    if content.test_texts is not None:
        lines = (json.dumps({"text": review}) + "\n" for review in content.test_texts)
        (folder / _TEST_TEXTS).write_text("".join(lines), "utf-8")
    meta = {
        "digest": digest,
        "format_version": FORMAT_VERSION,
        "test_digest": content.test_digest,
        "sizes": {part: len(reviews.rows) for part, reviews in content.parts.items()},
        "num_words": content.num_words,
        "max_len": content.max_len,
        "files": sorted(file.name for file in folder.iterdir()),
    }
    (folder / META).write_text(json.dumps(meta, indent=2), "utf-8")
