"""The registered model: raw reviews in, label and probability out.

MLflow stores this file with the model and runs it where the project is not installed, so it
imports nothing of the project; ``tests`` hold its encoding equal to ``pipelines.imdb.text``.
"""

import json
import os
import re

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext  # type: ignore[attr-defined]

START, UNKNOWN = 1, 2
FILTERS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))
LINE_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
BATCH_SIZE = 256


class ReviewSentiment(PythonModel):
    """Encodes reviews as the model was trained to see them and asks it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Reads the vocabulary and the Keras model."""
        with open(context.artifacts["text"], encoding="utf-8") as stream:
            config = json.load(stream)
        self.max_len: int = config["max_len"]
        self.vocabulary: dict[str, int] = config["vocabulary"]
        os.environ.setdefault("KERAS_BACKEND", config.get("backend", "jax"))
        import keras

        # safe_mode refuses lambda layers, which would run code from the file.
        self.model = keras.saving.load_model(
            context.artifacts["keras_model"], compile=False, safe_mode=True
        )

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
        bad = [
            row
            for row, text in enumerate(reviews)
            if not isinstance(text, str) or not text.strip()
        ]
        if not reviews:
            raise MlflowException.invalid_parameter_value("there are no reviews")
        if bad:
            raise MlflowException.invalid_parameter_value(
                f"'review' must be text that is not empty; it is not in rows {bad[:10]}"
            )
        rows = np.stack([self.encode(text) for text in reviews])
        probability = self.model.predict(rows, batch_size=BATCH_SIZE, verbose=0)[:, 0]
        return pd.DataFrame(
            {
                "label": np.where(probability >= 0.5, "positive", "negative"),
                "probability": probability.astype(float),
            }
        )

    def encode(self, text: str) -> np.ndarray:
        """Encodes one review as a row of shape (max_len,)."""
        words = LINE_BREAK.sub(" ", text).lower().translate(FILTERS).split(" ")
        indexes = [START, *(self.vocabulary.get(word, UNKNOWN) for word in words if word)]
        row = np.zeros(self.max_len, dtype=np.int32)
        kept = indexes[-self.max_len :]
        row[-len(kept) :] = kept
        return row


set_model(ReviewSentiment())
