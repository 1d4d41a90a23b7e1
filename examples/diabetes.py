"""Progress of diabetes after a year: a regression with two inputs."""

import keras
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split


class Diabetes:
    """Inputs in a mapping, by the names of the model's inputs."""

    def load(self, split):
        """Returns inputs of shape (rows, 4) and (rows, 6), and targets of shape (rows,)."""
        x, y = load_diabetes(return_X_y=True)
        search, test = train_test_split(range(len(y)), test_size=0.3, random_state=0)
        train, validation = train_test_split(search, test_size=0.3, random_state=0)
        rows = {"train": train, "validation": validation, "test": test}
        names = ["test"] if split == "test" else ["train", "validation"]
        return {
            name: ({"body": x[rows[name], :4], "blood": x[rows[name], 4:]}, y[rows[name]])
            for name in names
        }

    def build(self, params):
        """Builds and compiles the model of a trial."""
        body, blood = keras.Input((4,), name="body"), keras.Input((6,), name="blood")
        hidden = keras.layers.Concatenate()([body, blood])
        for _ in range(params["layers"]):
            hidden = keras.layers.Dense(params["units"], activation="relu")(hidden)
        model = keras.Model({"body": body, "blood": blood}, keras.layers.Dense(1)(hidden))
        model.compile(keras.optimizers.Adam(params["learning_rate"]), "mse", metrics=["mae"])
        return model
