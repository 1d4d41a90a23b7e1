"""Logs a trained ``.keras`` file as a model of MLflow's keras flavour, without loading it."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any


def log_keras_model(run_id: str, name: str, model_file: Path, spec_file: Path, step: int) -> str:
    """Logs a model under a run.

    Args:
        run_id: The run that trained it.
        name: The model's name in MLflow.
        model_file: The ``.keras`` file.
        spec_file: Its inputs, outputs and backend, as ``tuning.training`` writes them.
        step: The epoch at which it was kept; MLflow links the run's metrics of that step to it.

    Returns:
        The id of the logged model.
    """
    import mlflow.keras
    from mlflow.models import Model

    spec = json.loads(spec_file.read_text("utf-8"))
    backend = spec["keras_backend"]
    info: Any = Model.log(
        artifact_path=None,
        flavor=mlflow.keras,
        name=name,
        run_id=run_id,
        step=step,
        model=_SavedFile(model_file),
        signature=_signature(spec),
        # Inferring them would load the model in a new process: 20 to 40 s a model.
        pip_requirements=[f"{package}=={version(package)}" for package in ("keras", backend)],
    )
    return str(info.model_id)


class _SavedFile:
    """Stands for a Keras model where only its file is needed."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def save(self, path: str) -> None:
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
