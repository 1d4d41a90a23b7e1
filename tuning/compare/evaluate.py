"""Reads the test split, once: what do the confirmed models say of it?"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tuning.protocols import Task
from tuning.tracking.record import Predictions

BATCH_SIZE = 512


def predict_test(
    task: Task, models: Mapping[str, Path], progress: Callable[[str], None] = lambda name: None
) -> Predictions:
    """Predicts the test split with every model.

    Args:
        task: Gives the test split.
        models: A ``.keras`` file by trial name; each has one sigmoid output.
        progress: Is told the name of each trial, once its model is done.

    Returns:
        Labels and probabilities.
    """
    import keras

    from tuning.training import without_tensorflow

    rows, labels = task.load("test")["test"]
    probabilities = {}
    for name, file in models.items():
        with without_tensorflow():
            # safe_mode refuses lambda layers, which would run code from the file.
            model = keras.saving.load_model(file, compile=False, safe_mode=True)
        predicted = model.predict(rows, batch_size=BATCH_SIZE, verbose=0)
        probabilities[name] = np.asarray(predicted, dtype=np.float32).reshape(len(labels))
        progress(name)
    return Predictions(np.asarray(labels), probabilities)


def scores(labels: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Accuracy and log loss of one model on the test split."""
    p = np.clip(probability.astype(float), 1e-7, 1 - 1e-7)
    loss = -np.mean(np.where(labels == 1, np.log(p), np.log(1 - p)))
    return {
        "test_accuracy": float(np.mean((probability >= 0.5) == (labels == 1))),
        "test_loss": float(loss),
    }
