"""Images in ten classes, for `tuning tune images.py`: nothing here starts the study."""

import keras
from sklearn.datasets import load_digits

import tuning

study = tuning.Study(
    name="digit-images",
    compare={"metric": "f1_macro"},
    objective={"metric": "val_accuracy"},
    budget={"trials": 4, "epochs": 6},
)


def data():
    """Returns images of shape (rows, 8, 8, 1) and classes."""
    images, classes = load_digits(return_X_y=True)
    return images.reshape(-1, 8, 8, 1).astype("float32") / 16, classes


def build(hp):
    """Builds a convolutional network."""
    model = keras.Sequential([keras.layers.Input((8, 8, 1))])
    for _ in range(hp.Int("layers", 1, 2)):
        model.add(keras.layers.Conv2D(hp.Choice("filters", [8, 16]), 3, activation="relu"))
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dropout(hp.Float("dropout", 0.0, 0.5, step=0.25)))
    model.add(keras.layers.Dense(10, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
