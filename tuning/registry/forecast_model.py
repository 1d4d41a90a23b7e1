"""The registered forecast: it takes a table of times and returns what comes next.

MLflow stores this file behind a copy of ``tuning.data.forecast_table``, whose class it uses, and
runs both where the project is not installed. So it imports nothing of the project.
"""

import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext  # type: ignore[attr-defined]

from tuning.data.forecast_table import ForecastTable


class Forecast(PythonModel):
    """Encodes a table as in the training, and forecasts its targets in their units."""

    def load_context(self, context: PythonModelContext) -> None:
        """Reads the columns and the Keras model."""
        config = json.loads(Path(context.artifacts["table"]).read_text("utf-8"))
        self.table = ForecastTable.from_json(config["table"])
        self.quantiles: list[float] = config["quantiles"]
        os.environ.setdefault("KERAS_BACKEND", config["backend"])
        import keras

        # safe_mode refuses lambda layers, which would run code from the file.
        self.model = keras.saving.load_model(
            context.artifacts["keras_model"], compile=False, safe_mode=True
        )
        self.lock = threading.Lock()

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: object = None
    ) -> pd.DataFrame:
        """Forecasts the times after the last one whose targets are known.

        Args:
            context: Unused.
            model_input: Rows in the order of time with the columns of the signature. If there are
                columns that are known in advance, rows of the times to forecast follow, in which
                the targets are empty.
            params: Unused.

        Returns:
            Data frame with the column ``step``, from 1, and a column per target; or per target
            and quantile.

        Raises:
            MlflowException: Rows or values are missing.
        """
        try:
            inputs: Any = self.table.latest(model_input.reset_index(drop=True))
        except (KeyError, TypeError, ValueError) as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        if not self.table.known:
            inputs = inputs["past"]
        with self.lock:  # a server predicts in several threads, and Keras is not thread-safe
            output = np.asarray(self.model.predict_on_batch(inputs), float)
        suffixes = [f"_q{quantile:g}" for quantile in self.quantiles] or [""]
        names = [f"{name}{suffix}" for name in self.table.targets for suffix in suffixes]
        rows = output.reshape(self.table.horizon, len(names))
        frame = pd.DataFrame(rows, columns=names)
        frame.insert(0, "step", np.arange(1, len(frame) + 1))
        return frame


set_model(Forecast())
