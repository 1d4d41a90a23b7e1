"""Texts with several labels each, and a callback of Keras."""

import keras
import numpy as np

import tuning

WORDS = {"sport": ["goal", "team", "match"], "money": ["bank", "share", "price"]}
WORDS["music"] = ["song", "band", "tune"]


def texts(rows):
    """Returns generated texts, and a label per topic of shape (rows, 3)."""
    random = np.random.default_rng(0)
    labels = (random.random((rows, len(WORDS))) < 0.4).astype("int32")
    noise = ["the", "of", "a", "new", "day"]
    lines = []
    for row in labels:
        topics = [words for words, is_on in zip(WORDS.values(), row, strict=True) if is_on]
        chosen = [random.choice(words) for words in topics] + list(random.choice(noise, 4))
        lines.append(" ".join(random.permutation(chosen)))
    return np.array(lines), labels


lines, y = texts(1500)
vocabulary = {word: number for number, word in enumerate(np.unique(" ".join(lines).split()), 1)}
x = np.zeros((len(lines), 8), "int32")
for row, line in enumerate(lines):
    numbers = [vocabulary[word] for word in line.split()]
    x[row, : len(numbers)] = numbers


def build(hp):
    """Builds a bag of embeddings with a sigmoid per label."""
    model = keras.Sequential(
        [
            keras.layers.Input((8,)),
            keras.layers.Embedding(50, hp.Int("embedding", 2, 16, step=2, default=2)),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(len(WORDS), activation="sigmoid"),
        ]
    )
    rate = hp.Float("lr", 1e-3, 1e-1, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy")
    return model


result = tuning.tune(
    build,
    data=(x, y),
    metric="f1_macro",
    callbacks=[keras.callbacks.ReduceLROnPlateau(patience=2)],
    trials=4,
    epochs=5,
    batch_size=64,
    name="labels",
)
print(result)
