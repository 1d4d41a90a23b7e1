"""The generated reviews: reproducible, balanced, and the order of their words decides."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pipelines.imdb import synthetic
from pipelines.imdb.synthetic import generate
from pipelines.imdb.text import tokenize

ROOT = Path(__file__).parents[3]

# Run in a process of its own, since the backend and the number of threads are fixed at start.
MEASUREMENT = """
import sys
from pathlib import Path

import keras
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from pipelines.imdb import synthetic
from pipelines.imdb.data import load_arrays, prepare, resolve

prepared = prepare(resolve("synthetic"), cache_dir=Path(sys.argv[1]))
search = load_arrays(prepared, "search")
x_test, y_test = load_arrays(prepared, "test")["test"]

keras.utils.set_random_seed(11)
model = keras.Sequential([
    keras.Input((prepared.max_len,)),
    keras.layers.Embedding(prepared.num_words, 32),
    keras.layers.LSTM(32),
    keras.layers.Dense(1, activation="sigmoid"),
])
model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["accuracy"])
best = -1.0
for _ in range(5):
    history = model.fit(
        *search["train"], batch_size=64, validation_data=search["validation"], verbose=0
    )
    if history.history["val_accuracy"][0] > best:
        best = history.history["val_accuracy"][0]
        accuracy = model.evaluate(x_test, y_test, batch_size=256, verbose=0)[1]

train, test = synthetic.generate_splits()
words = TfidfVectorizer()
regression = LogisticRegression(max_iter=500).fit(words.fit_transform(train.rows), train.labels)
print(accuracy, regression.score(words.transform(test.rows), test.labels))
"""


def test_the_same_seed_gives_the_same_reviews() -> None:
    assert generate(200, seed=3) == generate(200, seed=3)
    assert generate(200, seed=3) != generate(200, seed=4)


def test_labels_are_balanced_and_vary_in_order() -> None:
    texts, labels = generate(2_000, seed=1)
    assert len(texts) == len(labels) == 2_000
    assert set(labels) == {0, 1}
    assert 0.45 < sum(labels) / len(labels) < 0.55
    assert 0.4 < sum(labels[:200]) / 200 < 0.6


def test_nearly_every_review_fits_and_lengths_vary() -> None:
    texts, _ = generate(2_000, seed=1)
    lengths = sorted(len(tokenize(text)) + 1 for text in texts)
    assert lengths[int(0.99 * len(lengths))] <= synthetic.MAX_LEN
    assert lengths[-200] >= 2 * lengths[200]


def test_reviews_rarely_repeat() -> None:
    texts, _ = generate(2_000, seed=1)
    assert len(set(texts)) > 1_900


def test_templates_are_filled_in() -> None:
    for text in generate(2_000, seed=1)[0]:
        assert not set(text) & set("{}")
        assert "  " not in text


def test_words_are_praised_blamed_and_negated() -> None:
    counts = Counter(word for text in generate(2_000, seed=1)[0] for word in tokenize(text))
    for word in ("good", "bad", "not", "never", "hardly", "but", "although"):
        assert counts[word] > 20, word


def test_what_follows_but_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "LABEL_NOISE", 0.0)
    monkeypatch.setattr(synthetic, "NEGATED_SHARE", 0.0)
    monkeypatch.setattr(synthetic, "CONTRAST_SHARE", 1.0)
    monkeypatch.setattr(synthetic, "ASIDE_SHARE", 0.0)
    seen = 0
    for text, label in zip(*generate(500, seed=1), strict=True):
        for sentence in text.split("."):
            before, found, after = sentence.partition(", but ")
            if found:
                seen += 1
                assert ("good" in tokenize(after)) <= (label == 1)
                assert ("bad" in tokenize(after)) <= (label == 0)
                assert ("good" in tokenize(before)) <= (label == 0)
    assert seen > 50


def test_negation_turns_a_word_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "LABEL_NOISE", 0.0)
    monkeypatch.setattr(synthetic, "NEGATED_SHARE", 1.0)
    monkeypatch.setattr(synthetic, "CONTRAST_SHARE", 0.0)
    monkeypatch.setattr(synthetic, "ASIDE_SHARE", 0.0)
    labels = {
        word: {
            label
            for text, label in zip(*generate(1_000, seed=1), strict=True)
            if word in tokenize(text)
        }
        for word in ("good", "great", "bad", "awful")
    }
    assert labels == {"good": {0}, "great": {0}, "bad": {1}, "awful": {1}}


def test_noise_flips_the_announced_share(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, noisy = generate(4_000, seed=1)
    monkeypatch.setattr(synthetic, "LABEL_NOISE", 0.0)
    same_texts, clean = generate(4_000, seed=1)
    assert texts == same_texts
    flipped = sum(left != right for left, right in zip(noisy, clean, strict=True))
    assert 0.07 < flipped / 4_000 < 0.11


@pytest.mark.slow
@pytest.mark.full
def test_baseline_learns_what_a_bag_of_words_cannot(tmp_path: Path) -> None:
    env = os.environ | {
        "KERAS_BACKEND": "jax",
        "OMP_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
        "PYTHONPATH": str(ROOT),
    }
    result = subprocess.run(
        [sys.executable, "-c", MEASUREMENT, str(tmp_path)],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    baseline, bag_of_words = map(float, result.stdout.split())
    assert 0.75 <= baseline <= 0.92
    assert bag_of_words <= 0.70
    assert baseline - bag_of_words >= 0.08
