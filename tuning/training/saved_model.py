"""Saving and loading of a trained model as a ``.keras`` file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.training.keras_process import without_tensorflow

if TYPE_CHECKING:
    import keras


def load_model(file: Path) -> "keras.Model":
    """Loads a model for predictions from a ``.keras`` file; refuses a file that contains code."""
    import keras

    with without_tensorflow():
        # safe_mode refuses lambda layers, which run code from the file.
        return keras.saving.load_model(file, compile=False, safe_mode=True)


def save_model(model: "keras.Model", folder: Path) -> dict[str, str]:
    """Saves a model as a ``.keras`` file, and a description of its inputs and outputs as JSON.

    Args:
        model: Model to save.
        folder: Folder for both files.

    Returns:
        Paths of both files, by the kinds ``model`` and ``model_spec``.
    """
    import keras

    model_file, spec_file = folder / "model.keras", folder / "model_spec.json"
    with without_tensorflow():
        model.save(model_file)
    spec = {
        "inputs": [_tensor(tensor) for tensor in model.inputs],
        "outputs": [_tensor(tensor) for tensor in model.outputs],
        "keras_backend": keras.backend.backend(),
    }
    spec_file.write_text(json.dumps(spec), "utf-8")
    return {"model": str(model_file), "model_spec": str(spec_file)}


def _tensor(tensor: Any) -> dict[str, Any]:
    shape = [-1 if size is None else int(size) for size in tensor.shape]
    return {"dtype": str(tensor.dtype), "shape": shape}
