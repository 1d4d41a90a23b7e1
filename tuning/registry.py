"""The model registry: versions of raw input, their aliases and facts, and asking them."""

import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.errors import BadInputError, TuningError
from tuning.explain import occlusion
from tuning.protocols import DataInfo, ServedModel, Task
from tuning.study import Study
from tuning.tracking import names
from tuning.tracking.store import create_model

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHALLENGER = "challenger"
CHAMPION = "champion"
CARD_FILE = "model_card.md"
MAX_DESCRIPTION = 5_000  # of MLflow's stores
LATENCY_ROUNDS = 15
LOCK_SECONDS = 60
GAIN = "tuning.gain"
GAIN_LOW = "tuning.gain_low"
TEST_ACCURACY = "tuning.test_accuracy"
INTERVAL = "tuning.gain_interval"
METRIC = "tuning.metric"
BEHAVIOURS = "tuning.behaviour_regression"
SIZE = "tuning.size_mb"
LATENCY = "tuning.latency_ms"
PARENT_RUN = "tuning.run"
TRIALS = "tuning.trials"
TRIAL = names.TRIAL


def registered_name(study: Study, data: DataInfo) -> str:
    """The name in the registry; data that stand in for real ones have a name of their own."""
    return f"{study.registered_model}-{data.label}" if data.warning else study.registered_model


def register(
    client: "MlflowClient",
    *,
    name: str,
    run_id: str,
    task: Task,
    model_file: Path,
    tags: Mapping[str, str],
    card: Callable[[ServedModel], str],
) -> str:
    """Logs a model of raw input under the parent run and registers it as challenger.

    Args:
        client: Of the store.
        name: In the registry.
        run_id: The study's parent run.
        task: Makes the model of raw input.
        model_file: The trained ``.keras`` file.
        tags: Of the version; what the gate needs is among them.
        card: Writes the model card, as Markdown; it becomes the version's description and a file
            of the model.

    Returns:
        The version. A study that registered before gets its version again.
    """
    import mlflow

    versions = sorted(client.search_model_versions(f"name='{name}'"), key=lambda v: int(v.version))
    own = next((version for version in versions if version.run_id == run_id), None)
    if own is not None:
        # An earlier attempt may not have come as far as the card, or the alias.
        if not own.description and (card_text := _card_of(name, own.version)):
            client.update_model_version(name, own.version, card_text)
        # A newer version keeps it.
        if own is versions[-1]:
            client.set_registered_model_alias(name, CHALLENGER, own.version)
        return str(own.version)
    with tempfile.TemporaryDirectory() as folder:
        served = task.serve(model_file, Path(folder))
        text = card(served)
        Path(folder, CARD_FILE).write_text(text, "utf-8")
        artifacts = {**served.artifacts, "model_card": Path(folder, CARD_FILE)}
        model_id = create_model(client, run_id, name)
        _log_served(model_id, run_id, replace(served, artifacts=artifacts))
    facts = {**tags, **_measured(model_id)}
    # Of two studies that set an alias for the first time at once, one would get an error.
    with registry_lock(name):
        version = mlflow.register_model(f"models:/{model_id}", name, tags=facts)
        client.update_model_version(name, version.version, _described(text))
        client.set_registered_model_alias(name, CHALLENGER, version.version)
    return str(version.version)


def _described(card: str) -> str:
    return card[:MAX_DESCRIPTION]


def _card_of(name: str, version: str) -> str:
    """The description of a version, from the card among its files; empty if it has none."""
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder:
        files = Path(download_artifacts(artifact_uri=f"models:/{name}/{version}", dst_path=folder))
        card = next(files.rglob(CARD_FILE), None)
        return "" if card is None else _described(card.read_text("utf-8"))


@contextmanager
def registry_lock(name: str) -> Iterator[None]:
    """The registry has no compare-and-set, so reading and setting must not be interleaved.

    Raises:
        TuningError: Another process on this machine holds it, and does not come to its end.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(Path(tempfile.gettempdir()) / f"tuning-promote-{name}.lock")
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise TuningError(
            f"{name}: another process has been promoting for {LOCK_SECONDS} s; try again later"
        ) from None
    try:
        yield
    finally:
        lock.release()


def get_version(client: "MlflowClient", name: str, version: str) -> Any:
    """A version.

    Raises:
        BadInputError: There is none.
    """
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(name, version)
    except MlflowException as error:
        raise BadInputError(f"there is no version {version!r} of {name!r}") from error


def get_champion(client: "MlflowClient", name: str) -> Any | None:
    """The version that is champion, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        # An outage must not be taken for the absence of a champion.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def find_version(client: "MlflowClient", target: str | None, default_name: str) -> tuple[str, str]:
    """Finds what ``promote`` is asked for.

    Args:
        client: Of the store.
        target: The id of a study's parent run, ``version``, or ``name/version``; None for the
            challenger.
        default_name: The registered name that a bare version belongs to.

    Raises:
        BadInputError: There is no such version.
    """
    if target is None:
        return _challenger(client, default_name)
    if "/" in target:
        name, _, version = target.rpartition("/")
        return name, version
    if target.isdigit() and len(target) < 10:
        return default_name, target
    found = [
        version
        for version in client.search_model_versions(f"run_id='{_plain(target)}'")
        if version.tags.get(PARENT_RUN) == target
    ]
    if not found:
        raise BadInputError(
            f"no registered version comes from run {target!r}; pass the run id of a `tune`, "
            "a version number, or name/version"
        )
    return found[0].name, str(found[0].version)


def _challenger(client: "MlflowClient", prefix: str) -> tuple[str, str]:
    for name, aliases in _registered(client, prefix).items():
        if CHALLENGER in aliases:
            return name, str(aliases[CHALLENGER])
    raise BadInputError(
        f"{prefix!r} has no {CHALLENGER} yet; `tune` registers one, or pass a target"
    )


def _registered(client: "MlflowClient", prefix: str) -> dict[str, Mapping[str, str]]:
    """Aliases by registered name: the study's own, then those of stand-in data."""
    found = client.search_registered_models(f"name LIKE '{_plain(prefix)}%'")
    names_ = sorted(m.name for m in found if m.name == prefix or m.name.startswith(f"{prefix}-"))
    return {name: client.get_registered_model(name).aliases for name in names_}


def _plain(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+", text):
        raise BadInputError(f"{text!r} is neither a run id nor a version")
    return text


def _log_served(model_id: str, run_id: str, served: ServedModel) -> None:
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    signature = ModelSignature(
        Schema([ColSpec("string", served.input_column)]),
        Schema([ColSpec(kind, column) for column, kind in served.outputs.items()]),
    )
    Model.log(
        artifact_path=None,
        flavor=mlflow.pyfunc,
        model_id=model_id,
        run_id=run_id,
        python_model=str(served.code),
        artifacts={key: str(path) for key, path in served.artifacts.items()},
        signature=signature,
        input_example=pd.DataFrame({served.input_column: list(served.input_example)}),
        pip_requirements=list(served.pip_requirements),
    )


def _measured(model_id: str) -> dict[str, str]:
    """The size of a logged model, and the median time that it takes to answer one input."""
    import mlflow.pyfunc
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder:
        files = Path(download_artifacts(artifact_uri=f"models:/{model_id}", dst_path=folder))
        size = sum(file.stat().st_size for file in files.rglob("*") if file.is_file())
        loaded = mlflow.pyfunc.load_model(str(files))
        example = loaded.input_example
        if example is None:
            return {SIZE: f"{size / 1e6:.2f}"}
        one = example.head(1)
        loaded.predict(one)  # compiles
        times = []
        for _ in range(LATENCY_ROUNDS):
            began = time.perf_counter()
            loaded.predict(one)
            times.append(time.perf_counter() - began)
    return {SIZE: f"{size / 1e6:.2f}", LATENCY: f"{1000 * statistics.median(times):.1f}"}


def predict(
    client: "MlflowClient",
    model: str | None,
    study: Study,
    texts: Sequence[str],
    *,
    explain: bool = False,
) -> list[str]:
    """Asks a registered model about raw input.

    Args:
        client: Of the store.
        model: Its address; None takes the champion, or the challenger where there is none.
        study: Names the registered model.
        texts: The inputs.
        explain: Whether to add the words that moved each answer most.

    Returns:
        A line for each input, and one for its words.

    Raises:
        BadInputError: There is no such model.
    """
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.exceptions import MlflowException

    address = model or _default_model(client, study)
    # A model is code: what is loaded comes from the registry or a logged model, never from a path.
    if not re.fullmatch(r"models:/[\w.-]+([/@][\w.-]+)?", address) or ".." in address:
        raise BadInputError(
            f"model: models:/name@alias, models:/name/version or models:/id; got {address!r}"
        )
    try:
        loaded = mlflow.pyfunc.load_model(address)
    except MlflowException as error:
        raise BadInputError(f"model: {address} cannot be loaded ({error.message})") from error
    column = loaded.metadata.get_input_schema().input_names()[0]
    answers = loaded.predict(pd.DataFrame({column: list(texts)}))
    lines = [f"{address}"]
    for text, answer in zip(texts, answers.to_dict("records"), strict=True):
        facts = "  ".join(
            f"{value:.4f}" if isinstance(value, float) else f"{value:<9}"
            for value in answer.values()
        )
        lines.append(f"{facts}  {text if len(text) <= 80 else text[:79] + '…'}")
        if explain:
            moved = (f"{word} {change:+.3f}" for word, change in occlusion(loaded, column, text))
            lines.append(f"    moved by: {', '.join(moved) or 'nothing'}")
    return lines


def _default_model(client: "MlflowClient", study: Study) -> str:
    for name, aliases in _registered(client, study.registered_model).items():
        for alias in (CHAMPION, CHALLENGER):
            if alias in aliases:
                return f"models:/{name}@{alias}"
    raise BadInputError(
        f"no version of {study.registered_model!r} is registered yet; `tune` registers one, "
        "or pass a model"
    )
