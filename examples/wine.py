"""Three sorts of wine by thirteen measurements; the labels are texts."""

import keras
import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

SORTS = np.array(["barolo", "grignolino", "barbera"])


class Wine:
    """A table with labels as texts."""

    def load(self, split):
        """Returns measurements of shape (rows, 13) and names of shape (rows,)."""
        x, y = load_wine(return_X_y=True)
        labels = SORTS[y]
        x, x_test, labels, test_labels = train_test_split(
            x, labels, test_size=0.3, random_state=0, stratify=y
        )
        if split == "test":
            return {"test": (x_test, test_labels)}
        x, x_valid, labels, valid_labels = train_test_split(x, labels, random_state=0)
        return {"train": (x, labels), "validation": (x_valid, valid_labels)}

    def build(self, params):
        """Builds and compiles the model of a trial."""
        normalise = keras.layers.Normalization()
        normalise.adapt(self.load("search")["train"][0])
        model = keras.Sequential(
            [
                normalise,
                keras.layers.Dense(params["units"], activation=params["activation"]),
                keras.layers.Dense(3, activation="softmax"),
            ]
        )
        rate = keras.optimizers.Adam(params["learning_rate"])
        model.compile(rate, "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model
