"""Logs a trained ``.keras`` file as a model of MLflow's keras flavour without loading it."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Path of the Keras file inside a logged model of the flavour.
MODEL_FILE = Path("data", "model.keras")
# By default, MLflow retries for twenty minutes if a server does not answer.
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}


def log_keras_model(
    model_id: str,
    run_id: str,
    model_file: Path | None,
    spec_file: Path,
    step: int,
    *,
    example: Any = None,
) -> None:
    """Logs a model under a run.

    Args:
        model_id: Id of the logged model, which must exist already.
        run_id: Id of the run that trained the model.
        model_file: Path of the ``.keras`` file; None if the file is uploaded later.
        spec_file: JSON file with the inputs, the outputs and the backend of the model, as
            ``tuning.training.saved_model`` writes it.
        step: Epoch of the model's weights. MLflow links the run's metrics of this step to it.
        example: Inputs of a few examples, which MLflow stores with the model; None for none.
    """
    from mlflow.models import Model

    Model.log(
        artifact_path=None,
        flavor=_KerasFlavour,
        # It would load the model and predict, and print a progress bar.
        validate_serving_input=False,
        model_id=model_id,
        run_id=run_id,
        step=step,
        **_flavour(model_file, spec_file),
        # MLflow cannot store a tuple of arrays as an example.
        input_example=None if isinstance(example, tuple | list) else example,
    )


def save_keras_model(model_file: Path, spec_file: Path, folder: Path) -> None:
    """Writes what ``log_keras_model`` logs into a new folder, without any store."""
    import mlflow.keras

    mlflow.keras.save_model(path=str(folder), **_flavour(model_file, spec_file))


def _flavour(model_file: Path | None, spec_file: Path) -> dict[str, Any]:
    spec = json.loads(spec_file.read_text("utf-8"))
    backend = spec["keras_backend"]
    return {
        "model": _SavedFile(model_file),
        "signature": _signature(spec),
        # To infer them, MLflow would load the model in a new process: 20 to 40 s per model.
        "pip_requirements": [f"{name}=={version(name)}" for name in ("keras", backend)],
    }


@dataclass(frozen=True)
class ModelPlace:
    """A logged model to which another machine can upload the Keras file.

    Attributes:
        tracking_uri: Address of the MLflow server.
        model_id: Id of the logged model.
        environment: Environment variables with the credentials for the server.
    """

    tracking_uri: str = field(repr=False)
    model_id: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def upload(self, file: str) -> None:
        """Uploads a local file.

        It changes the environment of the process, so the process must do nothing else.
        """
        os.environ.update({**IMPATIENT, **self.environment})
        from mlflow import MlflowClient

        put_file(MlflowClient(self.tracking_uri), self.model_id, Path(file))


def put_file(client: "MlflowClient", model_id: str, file: Path) -> None:
    """Uploads a Keras file to a logged model."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, MODEL_FILE.name).symlink_to(file.absolute())
        client.log_model_artifacts(model_id, folder, str(MODEL_FILE.parent))


class _KerasFlavour:
    """MLflow's keras flavour, which writes an example before it has made the folder for it."""

    @staticmethod
    def save_model(path: str, *, validate_serving_input: bool, **options: Any) -> None:
        """Saves a model; the option is for ``Model.log``, which passes on all that it gets."""
        import mlflow.keras

        Path(path).mkdir(parents=True, exist_ok=True)
        mlflow.keras.save_model(path=path, **options)


class _SavedFile:
    """A substitute for a Keras model: MLflow calls only ``save``, which copies the file."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def save(self, path: str) -> None:
        if self._file is not None:
            shutil.copyfile(self._file, path)


def _signature(spec: dict[str, Any]) -> Any:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def schema(tensors: list[dict[str, Any]], names: list[str] | None = None) -> Schema:
        if names is None:
            names = [str(index) for index in range(len(tensors))] if len(tensors) > 1 else []
        pairs = zip_longest(tensors, names[: len(tensors)])
        return Schema([TensorSpec(np.dtype(t["dtype"]), t["shape"], name) for t, name in pairs])

    return ModelSignature(schema(spec["inputs"], spec.get("input_names")), schema(spec["outputs"]))
