"""A script of KerasTuner in which another class makes the tuner, and one call more."""

import keras
import keras_tuner
from sklearn.datasets import load_digits

import tuning.integrations.keras_tuner

x, y = load_digits(return_X_y=True)
x = x.astype("float32") / 16
x_train, y_train = x[:1000], y[:1000]
x_val, y_val = x[1000:1400], y[1000:1400]
x_test, y_test = x[1400:], y[1400:]


class MyHyperModel(keras_tuner.HyperModel):
    """A hypermodel that also tunes how it is trained."""

    def build(self, hp):
        """Builds a dense network."""
        model = keras.Sequential([keras.layers.Input((64,))])
        model.add(keras.layers.Dense(hp.Int("units", 8, 64, step=8), activation="relu"))
        model.add(keras.layers.Dense(10, activation="softmax"))
        rate = hp.Float("lr", 1e-4, 1e-2, sampling="log", default=1e-3)
        model.compile(
            keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        return model

    def fit(self, hp, model, *args, **kwargs):
        """Trains with a batch size that is tuned."""
        return model.fit(*args, batch_size=hp.Choice("batch_size", [16, 32]), **kwargs)


# Was: keras_tuner.BayesianOptimization(
tuner = tuning.integrations.keras_tuner.Tuner(
    MyHyperModel(), objective="val_accuracy", max_trials=4, project_name="digits", overwrite=True
)
tuner.search_space_summary()
tuner.search(x_train, y_train, epochs=5, validation_data=(x_val, y_val))
tuner.results_summary()
model = tuner.get_best_models(num_models=1)[0]
print(tuner.get_best_hyperparameters()[0].values)
print(tuner.confirm(test=(x_test, y_test), seeds=3))
