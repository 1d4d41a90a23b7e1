"""A registered forecast takes a table and answers in its units, where the project is missing."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tuning.core.errors import BadInputError
from tuning.data.forecast_table import ForecastTable
from tuning.registry.forecasts import served_forecast
from tuning.registry.inputs import as_table, read_file
from tuning.registry.serving import try_served_model

TABLE = pd.DataFrame({"load": np.arange(30.0) + 500, "day": [f"d{row % 3}" for row in range(30)]})
ASK = """
import sys

import mlflow
import pandas as pd

model = mlflow.pyfunc.load_model(sys.argv[1])
answer = model.predict(pd.read_csv(sys.argv[2]))
assert "tuning" not in sys.modules
print(answer.to_csv(index=False))
"""


def last_value(form: ForecastTable, quantiles: int = 0) -> Any:
    """A model that forecasts the last load, plus the number of each quantile."""
    import keras

    inputs = {"past": keras.Input((form.window, 1), name="past")}
    inputs["known"] = keras.Input((form.horizon, 3), name="known")
    last = keras.layers.Cropping1D((form.window - 1, 0))(inputs["past"])
    last = keras.layers.Flatten()(last)
    outputs = form.horizon * max(quantiles, 1)
    dense = keras.layers.Dense(outputs)
    output = dense(last)
    scale, mean = form.deviations["load"], form.means["load"]
    shift = np.tile(np.arange(max(quantiles, 1)), form.horizon)
    dense.set_weights([np.full((1, outputs), scale), mean + shift])
    if quantiles:
        output = keras.layers.Reshape((form.horizon, quantiles))(output)
    return keras.Model(inputs, output)


def packed(folder: Path, quantiles: tuple[float, ...] = ()) -> Any:
    form = ForecastTable.fit(
        TABLE[:20], targets=["load"], past=["load"], known=["day"], window=4, horizon=2
    )
    last_value(form, len(quantiles)).save(folder / "model.keras")
    files = folder / "files"
    files.mkdir()
    example = TABLE[:6].copy()
    example.loc[4:, "load"] = np.nan
    return served_forecast(
        form, folder / "model.keras", files, example=example, quantiles=quantiles
    )


@pytest.mark.slow
def test_it_answers_a_csv_file_in_a_process_without_the_project(tmp_path: Path) -> None:
    served = packed(tmp_path)
    assert served.inputs == {"load": "double", "day": "string"}
    assert served.outputs == {"step": "long", "load": "double"}
    try_served_model(served, tmp_path / "model")
    asked = TABLE[10:22].copy()
    asked.loc[20:, "load"] = np.nan
    asked.to_csv(tmp_path / "asked.csv", index=False)
    kept = {k: v for k, v in os.environ.items() if k not in ("KERAS_BACKEND", "PYTHONPATH")}
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(tmp_path / "model"), str(tmp_path / "asked.csv")],
        cwd=tmp_path,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["step,load", "1,519.0", "2,519.0"]


def test_quantiles_have_columns_and_what_is_missing_is_said(tmp_path: Path) -> None:
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    served = packed(tmp_path, (0.1, 0.9))
    try_served_model(served, tmp_path / "model")
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    (tmp_path / "asked.csv").write_text("day,load\n" + "d0,510\n" * 4 + "d1,\nd2,\n")
    schema = model.metadata.get_input_schema()
    table = as_table(read_file(str(tmp_path / "asked.csv")), schema)
    answer = model.predict(table)
    assert [*answer.columns] == ["step", "load_q0.1", "load_q0.9"]
    assert answer.to_numpy().tolist() == [[1, 510, 511], [2, 510, 511]]
    with pytest.raises(MlflowException, match="2 rows must follow with empty load"):
        model.predict(table[:5])
    with pytest.raises(BadInputError, match="reads the columns load, day; 'load' is missing"):
        as_table(table[["day"]], schema)
    with pytest.raises(BadInputError, match="'load' needs numbers; row 1 has 'many'"):
        as_table([{"day": "d0", "load": "many"}], schema)


def test_an_example_that_is_no_input_is_refused(tmp_path: Path) -> None:
    form = ForecastTable.fit(TABLE, targets=["load"], past=["load"], window=4)
    with pytest.raises(BadInputError, match="example: the forecast needs 4 rows"):
        served_forecast(form, tmp_path / "m.keras", tmp_path, example=TABLE[:3])


def test_whole_numbers_and_truth_values_are_columns_too(tmp_path: Path) -> None:
    import keras
    import mlflow.pyfunc

    table = TABLE.assign(count=np.arange(30), open=[row % 2 == 0 for row in range(30)])
    form = ForecastTable.fit(
        table, targets=["load"], past=["load", "count"], known=["open"], window=4, horizon=2
    )
    past = keras.Input((4, 2), name="past")
    known = keras.Input((2, 2), name="known")
    joined = [keras.layers.Flatten()(each) for each in (past, known)]
    output = keras.layers.Dense(2)(keras.layers.Concatenate()(joined))
    keras.Model({"past": past, "known": known}, output).save(tmp_path / "model.keras")
    files = tmp_path / "files"
    files.mkdir()
    example = table[:6].astype({"load": float})
    example.loc[4:, "load"] = np.nan
    served = served_forecast(form, tmp_path / "model.keras", files, example=example)
    assert served.inputs == {"load": "double", "count": "double", "open": "boolean"}
    try_served_model(served, tmp_path / "model")
    rows = "".join(f"{number},{500 + number},{number % 2 == 0}\n" for number in range(4))
    (tmp_path / "asked.csv").write_text(f"count,load,open\n{rows},,true\n,,0\n")
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    asked = as_table(read_file(str(tmp_path / "asked.csv")), model.metadata.get_input_schema())
    assert asked["open"].tolist() == [True, False, True, False, True, False]
    assert np.isfinite(model.predict(asked)["load"]).all()
    with pytest.raises(BadInputError, match="'open' needs true or false; row 1 has 'maybe'"):
        as_table(asked.assign(open="maybe"), model.metadata.get_input_schema())
