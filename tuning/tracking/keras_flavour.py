"""Logs a trained ``.keras`` file as a model of MLflow's keras flavour, without loading it."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Where the flavour has the Keras file in its model.
MODEL_FOLDER, MODEL_FILE = "data", "model.keras"
# By default MLflow tries for twenty minutes to reach what does not answer.
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}


def log_keras_model(
    model_id: str, run_id: str, model_file: Path | None, spec_file: Path, step: int
) -> None:
    """Logs a model under a run.

    Args:
        model_id: The logged model that was created for it.
        run_id: The run that trained it.
        model_file: The ``.keras`` file; None if it will come later.
        spec_file: Its inputs, outputs and backend, as ``tuning.training.fit`` writes them.
        step: The epoch at which it was kept; MLflow links the run's metrics of that step to it.
    """
    import mlflow.keras
    from mlflow.models import Model

    spec = json.loads(spec_file.read_text("utf-8"))
    backend = spec["keras_backend"]
    Model.log(
        artifact_path=None,
        flavor=mlflow.keras,
        model_id=model_id,
        run_id=run_id,
        step=step,
        model=_SavedFile(model_file),
        signature=_signature(spec),
        # Inferring them would load the model in a new process: 20 to 40 s a model.
        pip_requirements=[f"{package}=={version(package)}" for package in ("keras", backend)],
    )


@dataclass(frozen=True)
class ModelPlace:
    """Where a logged model has its Keras file, for a machine that has it.

    Attributes:
        tracking_uri: Of the server that knows the model.
        model_id: The logged model.
        environment: Variables by which the server lets one in.
    """

    tracking_uri: str = field(repr=False)
    model_id: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def upload(self, file: str) -> None:
        """Uploads a file of this machine; only for a process that does nothing else."""
        os.environ.update({**IMPATIENT, **self.environment})
        from mlflow import MlflowClient

        put_file(MlflowClient(self.tracking_uri), self.model_id, Path(file))


def put_file(client: "MlflowClient", model_id: str, file: Path) -> None:
    """Puts a Keras file into a logged model."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, MODEL_FILE).symlink_to(file.absolute())
        client.log_model_artifacts(model_id, folder, MODEL_FOLDER)


class _SavedFile:
    """Stands for a Keras model where only its file is needed."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def save(self, path: str) -> None:
        if self._file is not None:
            shutil.copyfile(self._file, path)


def _signature(spec: dict[str, Any]) -> Any:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def schema(tensors: list[dict[str, Any]]) -> Schema:
        names: list[str | None] = [None]
        if len(tensors) > 1:
            names = [f"{index}" for index in range(len(tensors))]
        return Schema(
            [
                TensorSpec(np.dtype(tensor["dtype"]), tensor["shape"], name)
                for tensor, name in zip(tensors, names, strict=True)
            ]
        )

    return ModelSignature(schema(spec["inputs"]), schema(spec["outputs"]))
