"""A simple model to compare the networks with: linear in words and in pairs of words."""

import numpy as np
from numpy.typing import NDArray

from pipelines.imdb.text import START, IntArray

BUCKETS = 2**18
# Strong regularisation: there are a few hundred thousand features and twenty thousand reviews.
C = 0.1


def linear_ngrams(train: IntArray, labels: IntArray, test: IntArray) -> NDArray[np.float32]:
    """Fits logistic regression on the presence of words and pairs of words.

    It follows Wang and Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic
    Classification", ACL 2012, without their log-count ratios.

    Args:
        train: Rows of word indexes, of shape (reviews, tokens).
        labels: Labels, 0 or 1, of shape (reviews,).
        test: Rows of the reviews to predict, of shape (reviews, tokens).

    Returns:
        Probabilities of class 1 of the test reviews, of shape (reviews,).
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=C, solver="liblinear")
    model.fit(_features(train), labels)
    probability: NDArray[np.float32] = model.predict_proba(_features(test))[:, 1]
    return probability.astype(np.float32)


def _features(rows: IntArray) -> object:
    """Returns the words and hashed pairs of each row as a sparse matrix (rows, features)."""
    from scipy.sparse import csr_matrix

    rows = np.asarray(rows, dtype=np.int64)
    words = int(rows.max(initial=0)) + 1
    first, second = rows[:, :-1], rows[:, 1:]
    # Knuth's multiplicative hash spreads pairs over the buckets.
    pairs = words + ((first * 2654435761 + second * 40503) % BUCKETS)
    columns = np.concatenate([rows, np.where(first > START, pairs, 0)], axis=1)
    kept = columns > START
    count = kept.sum(axis=1)
    matrix = csr_matrix(
        (np.ones(count.sum(), np.float32), columns[kept], np.concatenate([[0], np.cumsum(count)])),
        shape=(len(rows), 2**15 + BUCKETS),
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix
