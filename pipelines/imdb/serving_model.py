"""The registered model: it takes raw reviews and returns labels and probabilities.

MLflow stores this file with the model and runs it where the project is not installed, so it
imports nothing of the project. The tests check that it encodes as ``pipelines.imdb.text`` does.
"""

import json
import os
import re
import threading

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext  # type: ignore[attr-defined]

START, UNKNOWN = 1, 2
FILTERS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))
LINE_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
# MLflow turns values of a plain list that are not texts into these texts, and numbers into digits.
NO_TEXTS = {"", "None", "True", "False"}
# A program is compiled for one shape, so batches are padded to one of a few sizes.
BATCH_SIZES = (1, 8, 64, 256)
# Fractions (1/8, 1/4, …) of the full row length, for models whose output padding does not change.
LENGTH_SHARES = (8, 4, 2, 1)


class ReviewSentiment(PythonModel):
    """Encodes reviews as in the training, and predicts their sentiment."""

    def load_context(self, context: PythonModelContext) -> None:
        """Reads the vocabulary and the Keras model."""
        with open(context.artifacts["text"], encoding="utf-8") as stream:
            config = json.load(stream)
        self.max_len: int = config["max_len"]
        self.padding_is_free: bool = config.get("padding_is_free", False)
        self.vocabulary: dict[str, int] = config["vocabulary"]
        os.environ.setdefault("KERAS_BACKEND", config.get("backend", "jax"))
        import keras

        # safe_mode refuses lambda layers, which would run code from the file.
        self.model = keras.saving.load_model(
            context.artifacts["keras_model"], compile=False, safe_mode=True
        )
        self.lock = threading.Lock()
        self.ask([np.array([START], dtype=np.int32)])  # compiles before the first request

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: object = None
    ) -> pd.DataFrame:
        """Predicts the sentiment of reviews.

        Args:
            context: Unused.
            model_input: Data frame with the column ``review`` of texts.
            params: Unused.

        Returns:
            Data frame with the columns ``label`` (positive or negative) and ``probability`` (of
            positive), one row per review.

        Raises:
            MlflowException: The column is missing, there are no rows, or a row is not a text.
        """
        if "review" not in model_input:
            raise MlflowException.invalid_parameter_value("the column 'review' is missing; add it")
        reviews = list(model_input["review"])
        bad = [row for row, text in enumerate(reviews) if not _is_text(text)]
        if not reviews:
            raise MlflowException.invalid_parameter_value("there are no reviews")
        if bad:
            raise MlflowException.invalid_parameter_value(
                "'review' must be a text and not only a number, None, True or False; send texts. "
                f"Rows without a text, counted from 0: {bad[:10]}"
            )
        probability = self.ask([self.encode(text) for text in reviews])
        return pd.DataFrame(
            {
                "label": np.where(probability >= 0.5, "positive", "negative"),
                "probability": probability.astype(float),
            }
        )

    def encode(self, text: str) -> np.ndarray:
        """Encodes one review as the word indexes of its end, of shape (at most max_len,)."""
        words = LINE_BREAK.sub(" ", text).lower().translate(FILTERS).split(" ")
        indexes = [START, *(self.vocabulary.get(word, UNKNOWN) for word in words if word)]
        return np.array(indexes[-self.max_len :], dtype=np.int32)

    def ask(self, encoded: list[np.ndarray]) -> np.ndarray:
        """Returns the probabilities of encoded reviews, of shape (reviews,)."""
        # Reviews of similar length share a batch, because a batch is padded to its longest review.
        order = sorted(range(len(encoded)), key=lambda row: len(encoded[row]))
        values = np.empty(len(encoded))
        for start in range(0, len(order), BATCH_SIZES[-1]):
            part = order[start : start + BATCH_SIZES[-1]]
            rows = self.pad([encoded[row] for row in part])
            with self.lock:  # a server predicts in several threads, and Keras is not thread-safe
                values[part] = np.asarray(self.model.predict_on_batch(rows))[: len(part), 0]
        return values

    def pad(self, encoded: list[np.ndarray]) -> np.ndarray:
        """Returns a batch of shape (rows, length), padded on the left to one of a few shapes."""
        longest = max(map(len, encoded)) if self.padding_is_free else self.max_len
        lengths = [-(-self.max_len // share) for share in LENGTH_SHARES]
        length = next(length for length in lengths if length >= longest)
        size = next(size for size in BATCH_SIZES if size >= len(encoded))
        rows = np.zeros((size, length), dtype=np.int32)
        for row, indexes in zip(rows, encoded, strict=False):
            row[length - len(indexes) :] = indexes
        return rows


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or value.strip() in NO_TEXTS:
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False


set_model(ReviewSentiment())
