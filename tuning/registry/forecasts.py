"""Packs a forecast for the registry: it takes a table and returns its targets in their units."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.core.errors import BadInputError
from tuning.core.forms import ServedModel
from tuning.data import forecast_table
from tuning.data.forecast_table import ForecastTable

if TYPE_CHECKING:
    import pandas as pd

_CODE = Path(__file__).with_name("forecast_model.py")
_IMPORT = "from tuning.data.forecast_table import ForecastTable\n"


def served_forecast(
    table: ForecastTable,
    model_file: Path,
    folder: Path,
    *,
    example: "pd.DataFrame",
    quantiles: Sequence[float] = (),
    intended_use: str = "",
    limits: Sequence[str] = (),
) -> ServedModel:
    """Returns what ``serve`` of a forecasting task returns.

    The Keras model takes the array ``past`` of shape (examples, window, numbers); or, if the table
    has columns that are known in advance, a mapping of ``past`` and ``known``.

    Args:
        table: Columns of the table and their scale.
        model_file: File of the Keras model.
        folder: Folder for the files.
        example: Table that is a valid input, stored as the example.
        quantiles: Quantiles of the last axis of the output; empty if it has none.
        intended_use: Purpose of the model, for the model card.
        limits: Known limits of the model, for the model card.

    Raises:
        BadInputError: The example is no valid input.
    """
    import keras

    try:
        table.latest(example.reset_index(drop=True))
    except (KeyError, TypeError, ValueError) as error:
        raise BadInputError(f"served_forecast: example: {error}") from error
    backend = keras.backend.backend()
    config = folder / "table.json"
    content = {"table": table.to_json(), "quantiles": list(quantiles), "backend": backend}
    config.write_text(json.dumps(content), "utf-8")
    code = folder / "forecast.py"
    classes = Path(forecast_table.__file__).read_text("utf-8")
    code.write_text(f"{classes}\n\n{_CODE.read_text('utf-8').replace(_IMPORT, '')}", "utf-8")
    columns = list(dict.fromkeys([*table.past, *table.known, *table.targets]))
    suffixes = [f"_q{quantile:g}" for quantile in quantiles] or [""]
    return ServedModel(
        code=code,
        artifacts={"keras_model": model_file, "table": config},
        inputs={name: _kind(table, name) for name in columns},
        outputs={"step": "long"}
        | {f"{name}{suffix}": "double" for name in table.targets for suffix in suffixes},
        # A column of whole numbers would be of another type than one with an empty cell.
        input_example={
            name: (example[name] if name in table.values else example[name].astype(float)).tolist()
            for name in columns
        },
        pip_requirements=[
            f"{name}=={version(name)}" for name in ("mlflow", "keras", backend, "numpy", "pandas")
        ],
        intended_use=intended_use,
        limits=limits,
        rows_belong_together=True,
    )


def _kind(table: ForecastTable, name: str) -> str:
    values = table.values.get(name)
    if values is None:
        return "double"
    if all(isinstance(value, bool) for value in values):
        return "boolean"
    return "string"
