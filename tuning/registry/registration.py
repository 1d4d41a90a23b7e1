"""Registers a study's winner as a model of raw input, with its card, as challenger."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.core.task import ServedModel, Task
from tuning.registry.serving import log_served_model, measure_served_model
from tuning.registry.versions import registry_lock
from tuning.tracking import keys
from tuning.tracking.store import create_model

if TYPE_CHECKING:
    from mlflow import MlflowClient


CARD_FILE = "model_card.md"


MAX_DESCRIPTION = 5_000  # of MLflow's stores


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
            client.set_registered_model_alias(name, keys.CHALLENGER, own.version)
        return str(own.version)
    with tempfile.TemporaryDirectory() as folder:
        served = task.serve(model_file, Path(folder))
        text = card(served)
        Path(folder, CARD_FILE).write_text(text, "utf-8")
        artifacts = {**served.artifacts, "model_card": Path(folder, CARD_FILE)}
        model_id = create_model(client, run_id, name)
        log_served_model(model_id, run_id, replace(served, artifacts=artifacts))
    facts = {**tags, **measure_served_model(model_id)}
    # Of two studies that set an alias for the first time at once, one would get an error.
    with registry_lock(name):
        version = mlflow.register_model(f"models:/{model_id}", name, tags=facts)
        client.update_model_version(name, version.version, _described(text))
        client.set_registered_model_alias(name, keys.CHALLENGER, version.version)
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
