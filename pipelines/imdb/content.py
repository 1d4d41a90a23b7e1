"""Reads reviews in any form and encodes them, in the order in which Keras shuffles its own."""

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.imdb import sources, synthetic
from pipelines.imdb.locate import Source
from pipelines.imdb.sources import Reviews
from pipelines.imdb.text import INDEX_FROM, encode_ranks, encode_text, fit_vocabulary


@dataclass(frozen=True)
class Content:
    """Encoded reviews, and their words (index per word) and texts where these are known.

    ``test_digest`` is of the test reviews and their labels before they are encoded.
    """

    parts: dict[str, Reviews]
    num_words: int
    max_len: int
    vocabulary: dict[str, int] | None
    test_texts: list[str] | None
    test_digest: str


def read_content(
    source: Source, word_index: Path | None, num_words: int, max_len: int, validation_share: float
) -> Content:
    """Reads, shuffles, divides and encodes the reviews of a source."""
    if source.path is None:
        train, test = synthetic.generate_splits()
        max_len = min(max_len, synthetic.MAX_LEN)
    else:
        readers = {"npz": sources.read_npz, "csv": sources.read_csv}
        train, test = readers.get(source.kind, sources.read_stanford)(source.path)
    random = np.random.RandomState(sources.SEED)
    order = random.permutation(len(train.rows))
    cut = int(len(order) * (1 - validation_share))
    train, validation = train.select(order[:cut]), train.select(order[cut:])
    test = test.select(random.permutation(len(test.rows)))
    encode: Any = partial(encode_ranks, num_words=num_words)
    vocabulary, test_texts = None, None
    if source.kind != "npz":
        vocabulary, test_texts = fit_vocabulary(train.rows, num_words), test.rows
        encode = partial(encode_text, vocabulary=vocabulary)
        num_words = min(num_words, len(vocabulary) + INDEX_FROM + 1)
    elif word_index:
        words = sources.read_word_index(word_index)
        indexes = {word: rank + INDEX_FROM for word, rank in words.items()}
        vocabulary = {word: index for word, index in indexes.items() if index < num_words}
        by_rank = {rank: word for word, rank in words.items()}
        ranks = [row.tolist() for row in test.rows]
        test_texts = [" ".join(by_rank.get(rank, "?") for rank in row) for row in ranks]
    parts = {
        name: Reviews([encode(row) for row in part.rows], part.labels)
        for name, part in (("train", train), ("validation", validation), ("test", test))
    }
    return Content(parts, num_words, max_len, vocabulary, test_texts, _digest(test))


def _digest(reviews: Reviews) -> str:
    digest = hashlib.sha256()
    for row, label in zip(reviews.rows, reviews.labels, strict=True):
        raw = row if isinstance(row, str) else [int(rank) for rank in row]
        digest.update(f"{json.dumps(raw)}\t{int(label)}\n".encode())
    return digest.hexdigest()
