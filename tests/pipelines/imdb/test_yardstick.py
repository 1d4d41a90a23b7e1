"""The linear model that networks are held against."""

import numpy as np

from pipelines.imdb.yardstick import linear_ngrams


def test_it_learns_words_and_pairs_but_not_padding() -> None:
    random = np.random.default_rng(2)
    rows = random.integers(3, 60, (600, 12)).astype(np.int32)
    rows[:, :3] = 0
    # Word 70 says yes alone; words 80 and 81 say yes in this order only.
    labels = np.zeros(600, dtype=np.int32)
    rows[:150, 5], labels[:150] = 70, 1
    rows[150:300, 6], rows[150:300, 7], labels[150:300] = 80, 81, 1
    rows[300:450, 6], rows[300:450, 7] = 81, 80
    order = random.permutation(600)
    rows, labels = rows[order], labels[order]
    probability = linear_ngrams(rows[:400], labels[:400], rows[400:])
    assert probability.shape == (200,)
    assert np.mean((probability >= 0.5) == (labels[400:] == 1)) > 0.95
