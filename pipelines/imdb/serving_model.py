"""The registered model: raw reviews in, label and probability out.

MLflow stores this file with the model and runs it where the project is not installed, so it
imports nothing of the project; ``tests`` hold its encoding equal to ``pipelines.imdb.text``.
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
# What MLflow makes of values in a bare list that are no texts, besides numbers.
NO_TEXTS = {"", "None", "True", "False"}
# A compiled program belongs to one shape, so requests are filled up to one of a few.
BATCH_SIZES = (1, 8, 64, 256)
# Parts of the longest row, for models to which padding makes no difference.
LENGTH_SHARES = (8, 4, 2, 1)


class ReviewSentiment(PythonModel):
    """Encodes reviews as the model was trained to see them and asks it."""

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
        self.ask([np.array([START], dtype=np.int32)])  # compiles, before the first request waits

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: object = None
    ) -> pd.DataFrame:
        """Judges reviews.

        Args:
            context: Unused.
            model_input: A column ``review`` of texts.
            params: Unused.

        Returns:
            Columns ``label`` (positive or negative) and ``probability`` (of positive), a row for
            each review.

        Raises:
            MlflowException: A row is not a text.
        """
        if "review" not in model_input:
            raise MlflowException.invalid_parameter_value("the column 'review' is missing")
        reviews = list(model_input["review"])
        bad = [row for row, text in enumerate(reviews) if not _is_text(text)]
        if not reviews:
            raise MlflowException.invalid_parameter_value("there are no reviews")
        if bad:
            raise MlflowException.invalid_parameter_value(
                "'review' must be text, and more than a number, None, True or False; "
                f"it is not in rows {bad[:10]}"
            )
        probability = self.ask([self.encode(text) for text in reviews])
        return pd.DataFrame(
            {
                "label": np.where(probability >= 0.5, "positive", "negative"),
                "probability": probability.astype(float),
            }
        )

    def encode(self, text: str) -> np.ndarray:
        """Encodes one review as the indexes of its last words, of shape (at most max_len,)."""
        words = LINE_BREAK.sub(" ", text).lower().translate(FILTERS).split(" ")
        indexes = [START, *(self.vocabulary.get(word, UNKNOWN) for word in words if word)]
        return np.array(indexes[-self.max_len :], dtype=np.int32)

    def ask(self, encoded: list[np.ndarray]) -> np.ndarray:
        """The probabilities of encoded reviews, of shape (reviews,)."""
        # Reviews of about one length share a batch, and a batch is padded to its longest.
        order = sorted(range(len(encoded)), key=lambda row: len(encoded[row]))
        found = np.empty(len(encoded))
        for start in range(0, len(order), BATCH_SIZES[-1]):
            part = order[start : start + BATCH_SIZES[-1]]
            rows = self.pad([encoded[row] for row in part])
            with self.lock:  # a server asks from several threads, and Keras is not made for that
                found[part] = np.asarray(self.model.predict_on_batch(rows))[: len(part), 0]
        return found

    def pad(self, encoded: list[np.ndarray]) -> np.ndarray:
        """One batch of shape (rows, length), padded on the left, of a shape that recurs."""
        needed = max(map(len, encoded)) if self.padding_is_free else self.max_len
        lengths = [-(-self.max_len // share) for share in LENGTH_SHARES]
        length = next(length for length in lengths if length >= needed)
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
