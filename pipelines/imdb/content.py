"""Reads reviews in any form and encodes them, in the order in which Keras shuffles its own."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.imdb import npz, sources, synthetic, text
from pipelines.imdb.locate import Source
from pipelines.imdb.text import IntArray

# The seed by which keras.datasets.imdb shuffles.
SHUFFLE_SEED = 113


@dataclass(frozen=True)
class Parameters:
    """How reviews become arrays.

    Attributes:
        num_words: Upper bound (exclusive) of the indexes.
        max_len: Length of the rows, in tokens.
        validation_share: Share of the official training split that becomes the validation split.

    Raises:
        ValueError: One of them is out of range.
    """

    num_words: int
    max_len: int
    validation_share: float

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.num_words <= text.INDEX_FROM + 1:
            raise ValueError(
                f"num_words must be above {text.INDEX_FROM + 1}; got {self.num_words}"
            )
        if self.max_len < 1:
            raise ValueError(f"max_len must be at least 1; got {self.max_len}")
        if not 0 < self.validation_share < 1:
            raise ValueError(
                f"validation_share must lie between 0 and 1; got {self.validation_share}"
            )

    def train_rows(self, rows: int) -> int:
        """Returns how many of the shuffled training reviews stay for training."""
        return int(rows * (1 - self.validation_share))


@dataclass(frozen=True)
class Split:
    """Encoded reviews and, for each, 1 if it is positive and 0 if it is negative."""

    sequences: list[list[int]] | list[IntArray]
    labels: list[int] | IntArray


@dataclass(frozen=True)
class Content:
    """Both official splits in their final order, encoded but not padded.

    Attributes:
        train: The official training split; its last part is for validation.
        test: The official test split.
        num_words: Upper bound (exclusive) of the indexes.
        max_len: The length to pad to, in tokens.
        vocabulary: Word to index with the offset; None where it is not known.
        test_texts: The test reviews in words; None where only ranks are known.
    """

    train: Split
    test: Split
    num_words: int
    max_len: int
    vocabulary: dict[str, int] | None
    test_texts: list[str] | None


def read_content(source: Source, word_index: Path | None, parameters: Parameters) -> Content:
    """Reads reviews in whatever form they are, shuffles and encodes them.

    Args:
        source: Where they are.
        word_index: The word index of an ``imdb.npz``, where there is one.
        parameters: How they become arrays.

    Returns:
        Both splits.

    Raises:
        DataError: The reviews cannot be read.
    """
    if source.path is None:
        train, test = synthetic.generate_splits()
        max_len = min(parameters.max_len, synthetic.MAX_LEN)
        return _content_of_texts(train, test, replace(parameters, max_len=max_len))
    if source.kind == "npz":
        return _content_of_ranks(source.path, word_index, parameters)
    readers: dict[str, Callable[[Path], tuple[sources.Reviews, sources.Reviews]]] = {
        "archive": sources.read_archive,
        "folder": sources.read_folder,
        "csv": sources.read_csv,
    }
    train, test = readers[source.kind](source.path)
    return _content_of_texts(train, test, parameters)


def _content_of_texts(
    train: sources.Reviews, test: sources.Reviews, parameters: Parameters
) -> Content:
    train_order, test_order = _orders(len(train.texts), len(test.texts))
    train_texts = [train.texts[row] for row in train_order]
    test_texts = [test.texts[row] for row in test_order]
    trained_on = train_texts[: parameters.train_rows(len(train_texts))]
    vocabulary = text.fit_vocabulary(trained_on, parameters.num_words)
    train_sequences = [text.encode_text(review, vocabulary) for review in train_texts]
    return Content(
        train=Split(train_sequences, [train.labels[row] for row in train_order]),
        test=Split(
            [text.encode_text(review, vocabulary) for review in test_texts],
            [test.labels[row] for row in test_order],
        ),
        num_words=min(parameters.num_words, len(vocabulary) + text.INDEX_FROM + 1),
        max_len=parameters.max_len,
        vocabulary=vocabulary,
        test_texts=test_texts,
    )


def _content_of_ranks(path: Path, word_index: Path | None, parameters: Parameters) -> Content:
    train, test = npz.read_npz(path)
    train_order, test_order = _orders(len(train.ranks), len(test.ranks))
    words = npz.read_word_index(word_index) if word_index else None
    num_words = parameters.num_words
    return Content(
        train=Split(
            [text.encode_ranks(train.ranks[row], num_words) for row in train_order],
            train.labels[train_order],
        ),
        test=Split(
            [text.encode_ranks(test.ranks[row], num_words) for row in test_order],
            test.labels[test_order],
        ),
        num_words=num_words,
        max_len=parameters.max_len,
        vocabulary=_vocabulary_of(words, num_words) if words else None,
        test_texts=_decode([test.ranks[row] for row in test_order], words) if words else None,
    )


def _orders(train_rows: int, test_rows: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    random = np.random.RandomState(SHUFFLE_SEED)
    return random.permutation(train_rows), random.permutation(test_rows)


def _vocabulary_of(words: dict[str, int], num_words: int) -> dict[str, int]:
    offset = {word: rank + text.INDEX_FROM for word, rank in words.items()}
    return {word: index for word, index in offset.items() if index < num_words}


def _decode(ranks: list[IntArray], words: dict[str, int]) -> list[str]:
    by_rank = {rank: word for word, rank in words.items()}
    return [" ".join(by_rank.get(rank, "?") for rank in row.tolist()) for row in ranks]
