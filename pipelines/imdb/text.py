"""Encodes raw reviews as padded rows of word indexes, with Keras's conventions for IMDB.

Index 0 is the padding, index 1 starts every sequence, and index 2 is any word outside the
vocabulary. The word with rank r (1 = most frequent) has index r + 3, as in
``keras.datasets.imdb``. Index 3 is unused.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

PAD = 0
START = 1
UNKNOWN = 2
INDEX_FROM = 3

IntArray = NDArray[np.int32]

_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
_BLANK_FILTERS = str.maketrans(dict.fromkeys(_FILTERS, " "))
_LINE_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


def tokenize(text: str) -> list[str]:
    """Removes HTML line breaks, and splits a review into words as Keras's ``Tokenizer`` does.

    Args:
        text: Raw review.

    Returns:
        The words in lower case and without punctuation; apostrophes are kept.
    """
    blank = _LINE_BREAK.sub(" ", text).lower().translate(_BLANK_FILTERS)
    return [word for word in blank.split(" ") if word]


def fit_vocabulary(texts: Iterable[str], num_words: int) -> dict[str, int]:
    """Ranks the words of the training reviews by frequency.

    Args:
        texts: Reviews that the model is trained on; never reviews that it is judged on.
        num_words: Upper bound (exclusive) of the indexes.

    Returns:
        Index of each word, including the offset, with the most frequent word first. Words of equal
        frequency keep the order in which they first appear.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(tokenize(text))
    ranked = counts.most_common(max(0, num_words - INDEX_FROM - 1))
    return {word: rank + INDEX_FROM for rank, (word, _) in enumerate(ranked, start=1)}


def encode_text(text: str, vocabulary: Mapping[str, int]) -> list[int]:
    """Encodes one raw review.

    Args:
        text: Raw review.
        vocabulary: Index of each word, as ``fit_vocabulary`` returns it.

    Returns:
        The start token and one index per word; they are not truncated.
    """
    return [START, *[vocabulary.get(word, UNKNOWN) for word in tokenize(text)]]


def encode_ranks(ranks: IntArray, num_words: int) -> IntArray:
    """Encodes one review that is given as word ranks.

    Args:
        ranks: Word ranks from 1, of shape (words,).
        num_words: Upper bound (exclusive) of the indexes.

    Returns:
        The start token and one index per word, of shape (words + 1,); not truncated.
    """
    encoded = np.empty(len(ranks) + 1, dtype=np.int32)
    encoded[0] = START
    np.add(ranks, INDEX_FROM, out=encoded[1:])
    encoded[encoded >= num_words] = UNKNOWN
    return encoded


def pad(sequences: Sequence[Sequence[int] | IntArray], max_len: int) -> IntArray:
    """Brings sequences to one length: pads them in front, or keeps the end of a long sequence.

    Args:
        sequences: Encoded reviews.
        max_len: Length of the rows, in tokens.

    Returns:
        Array of shape (len(sequences), max_len).
    """
    rows = np.full((len(sequences), max_len), PAD, dtype=np.int32)
    for row, sequence in zip(rows, sequences, strict=True):
        kept = sequence[-max_len:]
        if len(kept) > 0:
            row[-len(kept) :] = kept
    return rows


def encode_texts(texts: Iterable[str], vocabulary: Mapping[str, int], max_len: int) -> IntArray:
    """Encodes and pads raw reviews for a model.

    Args:
        texts: Raw reviews.
        vocabulary: Index of each word, as ``fit_vocabulary`` returns it.
        max_len: Length of every row, in tokens.

    Returns:
        Array of shape (number of reviews, max_len).
    """
    return pad([encode_text(text, vocabulary) for text in texts], max_len)
