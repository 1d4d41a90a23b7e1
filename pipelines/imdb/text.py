"""From raw reviews to padded rows of word indexes, with Keras's conventions for IMDB.

Index 0 pads, 1 starts every sequence, 2 stands for a word outside the vocabulary, and the word
with rank r (1 = most frequent) has index r + 3, as in ``keras.datasets.imdb``. Index 3 is unused.
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
    """Splits a review into words as Keras's ``Tokenizer`` does, once HTML breaks are gone.

    Args:
        text: The raw review.

    Returns:
        The words, lower case and without punctuation; apostrophes stay.
    """
    blank = _LINE_BREAK.sub(" ", text).lower().translate(_BLANK_FILTERS)
    return [word for word in blank.split(" ") if word]


def fit_vocabulary(texts: Iterable[str], num_words: int) -> dict[str, int]:
    """Ranks the words of the training reviews by frequency.

    Args:
        texts: The reviews that the model is trained on, never those it is judged on.
        num_words: Upper bound (exclusive) of the indexes.

    Returns:
        Word to index, the offset included, most frequent word first. Words of equal frequency
        keep the order in which they first appear.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(tokenize(text))
    ranked = counts.most_common(max(0, num_words - INDEX_FROM - 1))
    return {word: rank + INDEX_FROM for rank, (word, _) in enumerate(ranked, start=1)}


def encode_text(text: str, vocabulary: Mapping[str, int]) -> list[int]:
    """Encodes one raw review.

    Args:
        text: The raw review.
        vocabulary: Word to index, as ``fit_vocabulary`` returns it.

    Returns:
        The start token and one index per word, not truncated.
    """
    return [START, *[vocabulary.get(word, UNKNOWN) for word in tokenize(text)]]


def encode_ranks(ranks: IntArray, num_words: int) -> IntArray:
    """Encodes one review that is given as word ranks.

    Args:
        ranks: The ranks, from 1, of shape (words,).
        num_words: Upper bound (exclusive) of the indexes.

    Returns:
        The start token and one index per word, of shape (words + 1,), not truncated.
    """
    encoded = np.empty(len(ranks) + 1, dtype=np.int32)
    encoded[0] = START
    np.add(ranks, INDEX_FROM, out=encoded[1:])
    encoded[encoded >= num_words] = UNKNOWN
    return encoded


def pad(sequences: Sequence[Sequence[int] | IntArray], max_len: int) -> IntArray:
    """Brings sequences to one length: zeros go in front, and the end of a long one is kept.

    Args:
        sequences: Encoded reviews.
        max_len: The length to bring them to, in tokens.

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
    """Encodes and pads raw reviews, ready for a model.

    Args:
        texts: The raw reviews.
        vocabulary: Word to index, as ``fit_vocabulary`` returns it.
        max_len: The length of every row, in tokens.

    Returns:
        Array of shape (number of reviews, max_len).
    """
    return pad([encode_text(text, vocabulary) for text in texts], max_len)
