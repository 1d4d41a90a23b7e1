"""Registers a study's winner as challenger: a model of raw input with a model card."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.core.errors import PromotionRefusedError
from tuning.core.task import ServedModel, Serves
from tuning.registry.serving import log_served_model, measure_served_model
from tuning.registry.versions import registry_lock
from tuning.tracking import keys
from tuning.tracking.store import create_model

if TYPE_CHECKING:
    from mlflow import MlflowClient

CARD_FILE = "model_card.md"
MAX_DESCRIPTION = 5_000  # MLflow's limit, in characters


def register(
    client: "MlflowClient",
    *,
    name: str,
    run_id: str,
    task: Serves,
    model_file: Path,
    tags: Mapping[str, str],
    card: Callable[[ServedModel], str],
) -> str:
    """Logs a model of raw input under the parent run and registers it as challenger.

    Args:
        client: Client of the MLflow store.
        name: Name of the registered model.
        run_id: Id of the study's parent run.
        task: Task that makes the model of raw input.
        model_file: Path of the trained ``.keras`` file.
        tags: Tags of the version, including the facts that the gate needs.
        card: Function that returns the model card as Markdown. The card becomes the description of
            the version and a file of the model.

    Returns:
        The number of the version. A study that has a version already gets the same one again.

    Raises:
        PromotionRefusedError: The study's version is of what it had found before it went on.
    """
    import mlflow

    versions = sorted(client.search_model_versions(f"name='{name}'"), key=lambda v: int(v.version))
    existing = next((version for version in versions if version.run_id == run_id), None)
    if existing is not None:
        if any(existing.tags.get(key) != value for key, value in tags.items()):
            raise PromotionRefusedError(
                f"Not registered: {name} version {existing.version} is what run {run_id} had "
                "found before it went on; begin a new study to register another"
            )
        # An earlier attempt may have ended before it set the card or the alias.
        if not existing.description and (card_text := _card_of(name, existing.version)):
            client.update_model_version(name, existing.version, card_text)
        # If there is a newer version, that one keeps the alias.
        if existing is versions[-1]:
            client.set_registered_model_alias(name, keys.CHALLENGER, existing.version)
        return str(existing.version)
    with tempfile.TemporaryDirectory() as folder:
        served = task.serve(model_file, Path(folder))
        text = card(served)
        Path(folder, CARD_FILE).write_text(text, "utf-8")
        artifacts = {**served.artifacts, "model_card": Path(folder, CARD_FILE)}
        model_id = create_model(client, run_id, name)
        log_served_model(model_id, run_id, replace(served, artifacts=artifacts))
    facts = {**tags, **measure_served_model(model_id)}
    # Without a lock, two studies that first set an alias at the same time would get an error.
    with registry_lock(name):
        version = mlflow.register_model(f"models:/{model_id}", name, tags=facts)
        client.update_model_version(name, version.version, text[:MAX_DESCRIPTION])
        client.set_registered_model_alias(name, keys.CHALLENGER, version.version)
    return str(version.version)


def _card_of(name: str, version: str) -> str:
    """Returns the description of a version from its model card; empty if it has no card."""
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder:
        files = Path(download_artifacts(artifact_uri=f"models:/{name}/{version}", dst_path=folder))
        card = next(files.rglob(CARD_FILE), None)
        return "" if card is None else card.read_text("utf-8")[:MAX_DESCRIPTION]
