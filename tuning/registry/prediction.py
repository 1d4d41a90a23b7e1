"""Predicts with registered models."""

import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.core.errors import BadInputError
from tuning.core.task import Explain
from tuning.registry.inputs import as_table, as_tensors, as_texts, is_text_type
from tuning.registry.serving import load_keras
from tuning.registry.versions import registered_aliases
from tuning.study.file import Study
from tuning.tracking import keys

if TYPE_CHECKING:
    import keras
    from mlflow import MlflowClient

MAX_TEXT = 80
MAX_NUMBERS = 10
MAX_REASON = 200


def predict(
    client: "MlflowClient",
    model: str | None,
    study: Study,
    values: Any,
    *,
    explain: Explain | None = None,
    rebuild: "Callable[[str], keras.Model] | None" = None,
) -> list[str]:
    """Predicts inputs with a registered or a logged model.

    Args:
        client: Client of the MLflow store.
        model: Address of the model. None means the champion, or the challenger if there is no
            champion.
        study: Study that has the name of the registered model.
        values: Inputs, as ``tuning.registry.inputs.read_file`` returns them.
        explain: Function that explains a prediction; see ``tuning.core.task.Explains``.
        rebuild: Function that builds the model of an address by the code of its study, for a model
            with layers of the user; None if there is no such code.

    Returns:
        Lines of text: the address of the model, then a line per input. With ``explain``, a line
        with the most influential parts of the input follows each input.

    Raises:
        BadInputError: There is no such model, or the values are no inputs for it.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.models import get_model_info

    address = model or _default_model(client, study)
    # A model contains code, so it is loaded only from the store and never from a file path.
    if not re.fullmatch(r"models:/[\w.-]+([/@][\w.-]+)?", address) or ".." in address:
        raise BadInputError(
            f"model: models:/name@alias, models:/name/version or models:/id; got {address!r}"
        )
    try:
        info = get_model_info(address)
        if "keras" in info.flavors:
            if explain is not None:
                raise BadInputError("explain: the model takes arrays, and explains none of them")
            # Keras takes TensorFlow by itself, which may not be installed.
            os.environ.setdefault("KERAS_BACKEND", info.flavors["keras"]["keras_backend"])
            return [address, *_ask_keras(address, values, info.signature.inputs, rebuild)]
        return [address, *_ask_served(address, values, explain)]
    except MlflowException as error:
        raise BadInputError(f"model: {address} cannot be loaded ({error.message})") from error


def _ask_served(address: str, values: Any, explain: Explain | None) -> list[str]:
    import mlflow.pyfunc
    import pandas as pd

    loaded = mlflow.pyfunc.load_model(address)
    schema = loaded.metadata.get_input_schema()
    column = schema.input_names()[0]
    if len(schema.inputs) > 1 or not is_text_type(schema.inputs[0].type):
        if explain is not None:
            raise BadInputError("explain: the model takes a table, and explains none of its rows")
        return _table_lines(loaded.predict(as_table(values, schema)))
    texts = as_texts(values, column)

    def ask(inputs: Sequence[str]) -> Any:
        return loaded.predict(pd.DataFrame({column: list(inputs)}))

    lines = []
    for text, answer in zip(texts, ask(texts).to_dict("records"), strict=True):
        facts = "  ".join(
            f"{value:.4f}" if isinstance(value, float) else f"{value:<9}"
            for value in answer.values()
        )
        lines.append(f"{facts}  {text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + '…'}")
        if explain is not None:
            parts = (f"{part} {change:+.3f}" for part, change in explain(ask, text))
            lines.append(f"    largest influence: {', '.join(parts) or 'none'}")
    return lines


def _table_lines(answer: Any) -> list[str]:
    """Returns the answer to a table as the lines of a CSV file, which other programs can read."""
    lines: list[str] = answer.to_csv(index=False, float_format="%.6g").splitlines()
    return lines


def _ask_keras(
    address: str, values: Any, schema: Any, rebuild: "Callable[[str], keras.Model] | None"
) -> list[str]:
    inputs = as_tensors(values, schema)
    try:
        model = load_keras(address)
    except Exception as error:
        # Keras says it in a page of configurations.
        why = str(error).partition(". ")[0][:MAX_REASON]
        if rebuild is None:
            raise BadInputError(
                f"model: {address} has layers that need the code of its task; its model card says "
                f"how to build it and load its weights ({why})"
            ) from error
        model = rebuild(address)
    return _lines(model.predict(inputs, verbose=0))


def _lines(outputs: Any) -> list[str]:
    """Returns a line per example; several outputs stand beside each other with their names."""
    if isinstance(outputs, dict):
        named = {f"{name}=": output for name, output in outputs.items()}
    elif isinstance(outputs, list | tuple):
        named = {f"{number}=": output for number, output in enumerate(outputs)}
    else:
        named = {"": outputs}
    columns = [[f"{name}{_write(row)}" for row in output] for name, output in named.items()]
    return ["  ".join(row) for row in zip(*columns, strict=True)]


def _write(row: Any) -> str:
    numbers = np.asarray(row).reshape(-1)
    text = " ".join(f"{number:.6g}" for number in numbers[:MAX_NUMBERS])
    return text if len(numbers) <= MAX_NUMBERS else f"{text} …"


def _default_model(client: "MlflowClient", study: Study) -> str:
    for name, aliases in registered_aliases(client, study.registered_model).items():
        for alias in (keys.CHAMPION, keys.CHALLENGER):
            if alias in aliases:
                return f"models:/{name}@{alias}"
    raise BadInputError(
        f"no version of {study.registered_model!r} is registered yet; run `tune` to register one, "
        "or pass a model"
    )
