"""Logs the model of a version: one of raw input, or the Keras model itself; and measures it."""

import logging
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core.errors import TuningError
from tuning.core.forms import Form, KerasForm, ServedModel
from tuning.registry.files import describe_files, downloaded
from tuning.tracking import keys
from tuning.tracking.keras_flavour import log_keras_model
from tuning.tracking.store import create_model

if TYPE_CHECKING:
    from mlflow import MlflowClient

LATENCY_ROUNDS = 15
CARD_FILE = "model_card.md"


def log_form(client: "MlflowClient", run_id: str, name: str, form: Form, card: Path) -> str:
    """Logs a model with its card under a run, and returns its id."""
    import mlflow.pyfunc
    from mlflow.models import Model

    model_id = create_model(client, run_id, name)
    if isinstance(form, KerasForm):
        log_keras_model(
            model_id, run_id, form.model_file, form.spec_file, form.step, example=form.example
        )
        client.log_model_artifact(model_id, str(card))
        return model_id
    options = _flavour(form)
    options["artifacts"]["model_card"] = str(card)
    Model.log(
        artifact_path=None, flavor=mlflow.pyfunc, model_id=model_id, run_id=run_id, **options
    )
    return model_id


def try_served_model(served: ServedModel, folder: Path) -> None:
    """Saves a model of raw input in a new folder, loads it, and predicts its example.

    Raises:
        Exception: Something of it fails.
    """
    import mlflow.pyfunc

    options = _flavour(served)
    with _quiet():
        mlflow.pyfunc.save_model(path=str(folder), **options)
        mlflow.pyfunc.load_model(str(folder)).predict(options["input_example"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps MLflow from reporting on a model that is thrown away."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(previous)


def _flavour(served: ServedModel) -> dict[str, Any]:
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    signature = ModelSignature(
        Schema([ColSpec(kind, column) for column, kind in served.inputs.items()]),
        Schema([ColSpec(kind, column) for column, kind in served.outputs.items()]),
    )
    return {
        "python_model": str(served.code),
        "artifacts": {key: str(path) for key, path in served.artifacts.items()},
        "signature": signature,
        "input_example": pd.DataFrame(dict(served.input_example)),
        "pip_requirements": list(served.pip_requirements),
    }


def measure_model(address: str, form: Form) -> dict[str, str]:
    """Measures the files of a logged model and its median latency for one input, as tags.

    The latency is left out if the model cannot be loaded without the code of its task.

    Args:
        address: Address of the model in MLflow.
        form: What was logged.

    Raises:
        TuningError: The files are not there.
    """
    with downloaded(address) as folder:
        if folder is None:
            raise TuningError(f"{address}: its files cannot be read again from the store")
        files = describe_files(folder)
        tags = {keys.SIZE: f"{files.size_mb:.2f}", keys.FILES: files.digest}
        try:
            predict = _loaded(folder, form)
        except Exception:
            if isinstance(form, ServedModel):
                raise
            return tags  # its layers need the code of the task
        predict()  # the first call compiles the model
        times = []
        for _round in range(LATENCY_ROUNDS):
            start = time.perf_counter()
            predict()
            times.append(time.perf_counter() - start)
    return {**tags, keys.LATENCY: f"{1000 * statistics.median(times):.1f}"}


def _loaded(folder: Path, form: Form) -> Callable[[], object]:
    """Loads a model, and returns a function that predicts one input."""
    if isinstance(form, ServedModel):
        import mlflow.pyfunc

        loaded = mlflow.pyfunc.load_model(str(folder))
        example = loaded.input_example
        one = example if form.rows_belong_together else example.head(1)
        return lambda: loaded.predict(one)
    model = load_keras(str(folder))
    row = _first(form.example)
    return lambda: model.predict(row, verbose=0)


def _first(example: Any) -> Any:
    if isinstance(example, Mapping):
        return {name: _first(array) for name, array in example.items()}
    if isinstance(example, list | tuple):
        return type(example)(_first(array) for array in example)
    return example[:1]


def load_keras(address: str) -> Any:
    """Loads the Keras model of a logged model; refuses a file that contains code."""
    import mlflow.keras

    return mlflow.keras.load_model(
        address, load_model_kwargs={"compile": False, "safe_mode": True}
    )
