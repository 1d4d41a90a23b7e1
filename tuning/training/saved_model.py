"""Saving of a trained model as a ``.keras`` file, and loading of its weights."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core.errors import BadInputError
from tuning.data.parts import Structure
from tuning.metrics.outputs import symbols_of
from tuning.training.keras_process import without_tensorflow

if TYPE_CHECKING:
    import keras


def load_model(file: Path) -> "keras.Model":
    """Loads a model for predictions from a ``.keras`` file; refuses a file that contains code."""
    import keras

    with without_tensorflow():
        # safe_mode refuses lambda layers, which run code from the file.
        return keras.saving.load_model(file, compile=False, safe_mode=True)


def load_weights(model: "keras.Model", file: Path) -> None:
    """Loads the weights of a ``.keras`` file into a model that the task has built.

    Nothing else of the file is used, so that layers with code of the user, such as a ``Lambda``,
    need no deserialisation, and an untrusted file cannot run code.

    Raises:
        ValueError: The weights do not fit the model.
    """
    with without_tensorflow(), warnings.catch_warnings():
        # The optimizer of a model that does not train has no state.
        warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")
        model.load_weights(file)


def save_model(model: "keras.Model", folder: Path, example: Structure) -> dict[str, str]:
    """Saves a model as a ``.keras`` file, and a description of its inputs and outputs as JSON.

    Args:
        model: Model to save.
        folder: Folder for both files.
        example: Inputs of one example, for a model that does not know its inputs.

    Returns:
        Paths of both files, by the kinds ``model`` and ``model_spec``.

    Raises:
        BadInputError: Keras cannot save the model.
    """
    import keras

    model_file, spec_file = folder / "model.keras", folder / "model_spec.json"
    with without_tensorflow():
        try:
            model.save(model_file)
        except (NotImplementedError, TypeError):
            _save_without_config(model, model_file)
    spec = {**_tensors(model, example), "keras_backend": keras.backend.backend()}
    spec_file.write_text(json.dumps(spec), "utf-8")
    return {"model": str(model_file), "model_spec": str(spec_file)}


def _save_without_config(model: "keras.Model", file: Path) -> None:
    """Saves a model whose own classes have no ``get_config``: its weights, and no architecture.

    Such a file is loaded into a model that the task has built, with ``load_weights``.
    """
    model.get_config = lambda: {}
    try:
        model.save(file)
    except Exception as error:
        raise BadInputError(
            f"task: Keras cannot save the model ({error}); see "
            "https://keras.io/guides/serialization_and_saving"
        ) from error
    finally:
        del model.get_config


def _tensors(model: "keras.Model", example: Structure) -> dict[str, Any]:
    """Returns the inputs and outputs of a model; a subclassed model is asked with an example."""
    import keras

    try:
        inputs, outputs = model.inputs, model.outputs
    except (AttributeError, ValueError):  # it is subclassed
        inputs = outputs = None
    if not inputs or not outputs:
        inputs = symbols_of(example)
        outputs = model(inputs)
    flat = keras.tree.flatten(inputs)
    return {
        "inputs": [_tensor(tensor) for tensor in flat],
        "outputs": [_tensor(tensor) for tensor in keras.tree.flatten(outputs)],
        "input_names": _names(flat, example) if isinstance(example, Mapping) else None,
    }


def _names(inputs: Sequence[Any], example: Mapping[str, Any]) -> list[str]:
    """Returns the names of a model's inputs, in the order of the inputs."""
    names = [tensor.name for tensor in inputs]
    # Keras flattens mappings in the order of their keys.
    return names if set(names) == set(example) else sorted(example)


def _tensor(tensor: Any) -> dict[str, Any]:
    shape = [-1, *(-1 if size is None else int(size) for size in tensor.shape[1:])]
    return {"dtype": str(tensor.dtype), "shape": shape}
