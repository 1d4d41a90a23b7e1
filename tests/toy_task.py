"""The smallest real task: a dense network on two numbers, trained in milliseconds an epoch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.errors import InfeasibleError
from tuning.protocols import DataInfo, Examples, ServedModel, Split

if TYPE_CHECKING:
    import keras


class ToyTask:
    """Is the sum of two numbers positive? ``units`` above 100 cannot be built."""

    def __init__(self, *, dataset: str = "auto", cache_dir: str = "", rows: int = 200) -> None:
        self._rows = rows

    def prepare(self) -> DataInfo:
        return DataInfo(
            label="toy",
            name="toy",
            source="generated",
            digest="0" * 64,
            sizes={"train": self._rows, "validation": 60, "test": 80},
            cannot_serve="a toy serves nobody",
        )

    def worker_options(self) -> Mapping[str, object]:
        return {"rows": self._rows}

    def load(self, split: Split) -> Mapping[str, Examples]:
        parts = {"search": {"train": self._rows, "validation": 60}, "test": {"test": 80}}[split]
        return {part: _examples(part, rows) for part, rows in parts.items()}

    def build(self, params: Mapping[str, Any]) -> "keras.Model":
        import keras

        if params["units"] > 100:
            raise InfeasibleError(f"{params['units']} units are too many")
        model = keras.Sequential(
            [
                keras.layers.Input((2,)),
                keras.layers.Dense(params["units"], activation="tanh"),
                keras.layers.Dropout(params["rate"]),
                keras.layers.Dense(1, activation="sigmoid"),
            ]
        )
        rate = params.get("learning_rate", 0.01)
        model.compile(
            optimizer=keras.optimizers.Adam(rate),
            loss="binary_crossentropy",
            metrics=["accuracy"],
        )
        return model

    def serve(self, model_file: Path, folder: Path) -> ServedModel:
        raise NotImplementedError


def _examples(part: str, rows: int) -> Examples:
    random = np.random.default_rng({"train": 1, "validation": 2, "test": 3}[part])
    x = random.normal(size=(rows, 2)).astype("float32")
    return x, (x.sum(axis=1) > 0).astype("int32")
