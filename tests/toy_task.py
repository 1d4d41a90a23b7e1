"""The smallest real task: a dense network on two numbers, trained in milliseconds an epoch."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.core.errors import InfeasibleError
from tuning.core.forms import ServedModel
from tuning.core.task import DataInfo, Split

if TYPE_CHECKING:
    import keras


SERVED = """
import mlflow
import pandas as pd


class ToyModel(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"length": model_input["text"].str.len()})


mlflow.models.set_model(ToyModel())
"""


class XlaRuntimeError(RuntimeError):
    """An error like JAX's own."""

    __module__ = "jaxlib._jax"


class ToyTask:
    """Is the sum of two numbers positive?

    ``units`` above 100 cannot be built, 99 need more memory than there is, 98 wait for ever,
    97 break the GPU, and 96 end in a linear unit, which cannot be judged.
    """

    def __init__(
        self,
        *,
        dataset: str = "auto",
        cache_dir: str = "",
        rows: int = 200,
        servable: bool = False,
        epoch_seconds: float = 0.0,
        journal: str = "",
    ) -> None:
        self._rows = rows
        self._servable = servable
        self._epoch_seconds = epoch_seconds
        self._journal = journal

    def prepare(self) -> DataInfo:
        return DataInfo(
            label="toy",
            name="toy",
            source="generated",
            digest="0" * 64,
            sizes={"train": self._rows, "validation": 60, "test": 80},
            cannot_serve="" if self._servable else "a toy serves nobody",
        )

    def worker_options(self) -> Mapping[str, object]:
        return {}

    def load(self, split: Split) -> Mapping[str, tuple[Any, Any]]:
        parts = {"search": {"train": self._rows, "validation": 60}, "test": {"test": 80}}[split]
        return {part: _examples(part, rows) for part, rows in parts.items()}

    def build(self, params: Mapping[str, Any]) -> "keras.Model":
        import keras

        if params["units"] > 100:
            raise InfeasibleError(f"{params['units']} units are too many")
        if params["units"] == 99:
            np.ones(2**46)
        if params["units"] == 98:
            threading.Event().wait()
        if params["units"] == 97:
            raise XlaRuntimeError("INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access")
        model = keras.Sequential(
            [
                keras.layers.Input((2,)),
                keras.layers.Dense(params["units"], activation="tanh"),
                keras.layers.Dropout(params["rate"]),
                keras.layers.Dense(1, activation="linear" if params["units"] == 96 else "sigmoid"),
            ]
        )
        rate = params.get("learning_rate", 0.01)
        model.compile(
            optimizer=keras.optimizers.Adam(rate), loss="binary_crossentropy", metrics=["accuracy"]
        )
        if self._journal or self._epoch_seconds:
            self._watch(model)
        return model

    def _watch(self, model: "keras.Model") -> None:
        """Makes every epoch take its time, and may write down that it began."""
        import keras

        def begin(epoch: int, logs: object) -> None:
            if self._journal:
                with Path(self._journal).open("a") as journal:
                    journal.write(f"{epoch + 1}\n")
            time.sleep(self._epoch_seconds)

        watch = keras.callbacks.LambdaCallback(on_epoch_begin=begin)
        fit = model.fit

        def fit_watched(*data: Any, callbacks: list[Any], **options: Any) -> Any:
            return fit(*data, callbacks=[*callbacks, watch], **options)

        model.fit = fit_watched

    def serve(self, model_file: Path, folder: Path) -> ServedModel:
        code = folder / "toy_model.py"
        code.write_text(SERVED)
        return ServedModel(
            code=code,
            artifacts={"model": model_file},
            inputs={"text": "string"},
            outputs={"length": "long"},
            input_example={"text": ["toy"]},
            pip_requirements=["mlflow"],
        )


def _examples(part: str, rows: int) -> tuple[Any, Any]:
    random = np.random.default_rng({"train": 1, "validation": 2, "test": 3}[part])
    x = random.normal(size=(rows, 2)).astype("float32")
    return x, (x.sum(axis=1) > 0).astype("int32")
