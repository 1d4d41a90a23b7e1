"""Digits of 8 × 8 pixels in ten classes, with a small convolutional network."""

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class Digits:
    """Only ``load`` and ``build`` are needed."""

    def load(self, split):
        """Returns images of shape (rows, 8, 8, 1) and classes of shape (rows,)."""
        images, classes = load_digits(return_X_y=True)
        images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
        search, test = train_test_split(range(len(classes)), test_size=0.25, random_state=0)
        if split == "test":
            return {"test": (images[test], classes[test])}
        train, validation = train_test_split(search, test_size=0.25, random_state=0)
        parts = {"train": train, "validation": validation}
        return {name: (images[rows], classes[rows]) for name, rows in parts.items()}

    def build(self, params):
        """Builds and compiles the model of a trial."""
        model = keras.Sequential(
            [
                keras.layers.Input((8, 8, 1)),
                keras.layers.Conv2D(params["filters"], 3, activation="relu"),
                keras.layers.Flatten(),
                keras.layers.Dropout(params["dropout"]),
                keras.layers.Dense(10, activation="softmax"),
            ]
        )
        rate = keras.optimizers.Adam(params["learning_rate"])
        model.compile(rate, "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model
