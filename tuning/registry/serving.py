"""Logs models of raw input, measures them, and predicts with registered ones."""

import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core.errors import BadInputError
from tuning.core.task import Explain, ServedModel
from tuning.registry.versions import registered_aliases
from tuning.study.file import Study
from tuning.tracking import keys

if TYPE_CHECKING:
    from mlflow import MlflowClient


LATENCY_ROUNDS = 15


def log_served_model(model_id: str, run_id: str, served: ServedModel) -> None:
    """Logs a model of raw input. The logged model with this id must exist already."""
    import mlflow.pyfunc
    from mlflow.models import Model

    Model.log(
        artifact_path=None,
        flavor=mlflow.pyfunc,
        model_id=model_id,
        run_id=run_id,
        **_flavour(served),
    )


def try_served_model(served: ServedModel, folder: Path) -> None:
    """Saves a model of raw input in a new folder, loads it, and predicts its example.

    Raises:
        Exception: Something of it fails.
    """
    import mlflow.pyfunc

    options = _flavour(served)
    mlflow.pyfunc.save_model(path=str(folder), **options)
    mlflow.pyfunc.load_model(str(folder)).predict(options["input_example"])


def _flavour(served: ServedModel) -> dict[str, Any]:
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    signature = ModelSignature(
        Schema([ColSpec("string", served.input_column)]),
        Schema([ColSpec(kind, column) for column, kind in served.outputs.items()]),
    )
    return {
        "python_model": str(served.code),
        "artifacts": {key: str(path) for key, path in served.artifacts.items()},
        "signature": signature,
        "input_example": pd.DataFrame({served.input_column: list(served.input_example)}),
        "pip_requirements": list(served.pip_requirements),
    }


def measure_served_model(model_id: str) -> dict[str, str]:
    """Measures the size of a logged model and its median latency for one input, as tags."""
    import mlflow.pyfunc
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder:
        files = Path(download_artifacts(artifact_uri=f"models:/{model_id}", dst_path=folder))
        size = sum(file.stat().st_size for file in files.rglob("*") if file.is_file())
        loaded = mlflow.pyfunc.load_model(str(files))
        example = loaded.input_example
        if example is None:
            return {keys.SIZE: f"{size / 1e6:.2f}"}
        one = example.head(1)
        loaded.predict(one)  # the first call compiles the model
        times = []
        for _ in range(LATENCY_ROUNDS):
            start = time.perf_counter()
            loaded.predict(one)
            times.append(time.perf_counter() - start)
    return {keys.SIZE: f"{size / 1e6:.2f}", keys.LATENCY: f"{1000 * statistics.median(times):.1f}"}


def predict(
    client: "MlflowClient",
    model: str | None,
    study: Study,
    texts: Sequence[str],
    *,
    explain: Explain | None = None,
) -> list[str]:
    """Predicts raw inputs with a registered or a logged model.

    Args:
        client: Client of the MLflow store.
        model: Address of the model. None means the champion, or the challenger if there is no
            champion.
        study: Study that has the name of the registered model.
        texts: Raw inputs.
        explain: Function that explains a prediction; see ``tuning.core.task.Explains``.

    Returns:
        Lines of text: the address of the model, then a line per input. With ``explain``, a line
        with the most influential parts of the input follows each input.

    Raises:
        BadInputError: There is no such model.
    """
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.exceptions import MlflowException

    address = model or _default_model(client, study)
    # A model contains code, so it is loaded only from the store and never from a file path.
    if not re.fullmatch(r"models:/[\w.-]+([/@][\w.-]+)?", address) or ".." in address:
        raise BadInputError(
            f"model: models:/name@alias, models:/name/version or models:/id; got {address!r}"
        )
    try:
        loaded = mlflow.pyfunc.load_model(address)
    except MlflowException as error:
        raise BadInputError(f"model: {address} cannot be loaded ({error.message})") from error
    column = loaded.metadata.get_input_schema().input_names()[0]

    def ask(inputs: Sequence[str]) -> Any:
        return loaded.predict(pd.DataFrame({column: list(inputs)}))

    lines = [address]
    for text, answer in zip(texts, ask(texts).to_dict("records"), strict=True):
        facts = "  ".join(
            f"{value:.4f}" if isinstance(value, float) else f"{value:<9}"
            for value in answer.values()
        )
        lines.append(f"{facts}  {text if len(text) <= 80 else text[:79] + '…'}")
        if explain is not None:
            parts = (f"{part} {change:+.3f}" for part, change in explain(ask, text))
            lines.append(f"    largest influence: {', '.join(parts) or 'none'}")
    return lines


def _default_model(client: "MlflowClient", study: Study) -> str:
    for name, aliases in registered_aliases(client, study.registered_model).items():
        for alias in (keys.CHAMPION, keys.CHALLENGER):
            if alias in aliases:
                return f"models:/{name}@{alias}"
    raise BadInputError(
        f"no version of {study.registered_model!r} is registered yet; run `tune` to register one, "
        "or pass a model"
    )
