"""Registers a study's winner as challenger: a model with a model card."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core.errors import PromotionRefusedError
from tuning.core.forms import Form
from tuning.registry.champions import read_champions, write_line
from tuning.registry.decisions import MAX_DESCRIPTION
from tuning.registry.files import files_of
from tuning.registry.lock import registry_lock
from tuning.registry.registered import Registration, read_registration, write_registration
from tuning.registry.serving import CARD_FILE, log_form, measure_model
from tuning.tracking import keys

if TYPE_CHECKING:
    from mlflow import MlflowClient


def register(
    client: "MlflowClient",
    *,
    name: str,
    run_id: str,
    make: Callable[[Path], Form],
    tags: Mapping[str, str],
    card: Callable[[Form], str],
    stand_in_for: str = "",
) -> str:
    """Logs a model under the parent run and registers it as challenger.

    It may be called again after it was interrupted: it then completes what it had begun.

    Args:
        client: Client of the MLflow store.
        name: Name of the registered model.
        run_id: Id of the study's parent run.
        make: Function that writes the files of the model into a folder and describes them.
        tags: Tags of the version.
        card: Function that returns the model card as Markdown. The card becomes the description of
            the version and a file of the model.
        stand_in_for: Name under which models of real data are registered, if these data only stand
            in for them; otherwise empty.

    Returns:
        The number of the version. A study that has a version already gets the same one again.

    Raises:
        PromotionRefusedError: The study's version is of what it had found before it went on.
    """
    import mlflow

    _create(client, name, stand_in_for)
    _keep_line(client, name)
    versions = sorted(client.search_model_versions(f"name='{name}'"), key=lambda v: int(v.version))
    existing = next((version for version in versions if version.run_id == run_id), None)
    if existing is not None:
        if any(existing.tags.get(key) != value for key, value in tags.items()):
            raise PromotionRefusedError(
                f"Not registered: {name} version {existing.version} is what run {run_id} had "
                "found before it went on; begin a new study to register another"
            )
        _complete(client, name, run_id, existing, is_newest=existing is versions[-1])
        return str(existing.version)
    with tempfile.TemporaryDirectory() as folder:
        form = make(Path(folder))
        text, file = card(form), Path(folder, CARD_FILE)
        file.write_text(text, "utf-8")
        model_id = log_form(client, run_id, name, form, file)
        measured = measure_model(f"models:/{model_id}", form)
    # Before there is a version: nobody can later say that another one is this study's.
    registration = Registration(model_id, "", dict(tags), measured)
    write_registration(client, run_id, name, registration)
    # Two studies that register at the same time would fail, and leave the older one challenger.
    with registry_lock(client, name) as lock:
        version = mlflow.register_model(
            f"models:/{model_id}", name, tags={**tags, **measured}
        ).version
        lock.renew()
        write_registration(client, run_id, name, replace(registration, version=str(version)))
        client.update_model_version(name, str(version), text[:MAX_DESCRIPTION])
        client.set_registered_model_alias(name, keys.CHALLENGER, str(version))
    return str(version)


def _create(client: "MlflowClient", name: str, stand_in_for: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    if stand_in_for:
        client.set_registered_model_tag(name, keys.STAND_IN, stand_in_for)


def _keep_line(client: "MlflowClient", name: str) -> None:
    """Writes the line of champions of version 0.1, so that a deleted one is noticed."""
    champions = read_champions(client, name)
    if champions.champion and keys.CHAMPIONS not in client.get_registered_model(name).tags:
        write_line(client, name, champions.line)


def _complete(
    client: "MlflowClient", name: str, run_id: str, version: Any, *, is_newest: bool
) -> None:
    """Writes what an earlier attempt may have left out after the version was created."""
    number = str(version.version)
    registration = read_registration(client, run_id, name)
    if registration is not None and not registration.version:
        digest = files_of(f"models:/{name}/{number}").digest
        is_own = version.source == f"models:/{registration.model_id}"
        if not is_own or digest != registration.measured.get(keys.FILES):
            raise PromotionRefusedError(
                f"Not registered: {name} version {number} names run {run_id}, and is not the "
                "model that this study has logged; delete the version and resume the study"
            )
        write_registration(client, run_id, name, replace(registration, version=number))
    if not version.description and (text := _card_of(name, number)):
        client.update_model_version(name, number, text)
    # If there is a newer version, that one keeps the alias.
    if is_newest:
        client.set_registered_model_alias(name, keys.CHALLENGER, number)


def _card_of(name: str, version: str) -> str:
    """Returns the description of a version from its model card; empty if it has no card."""
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder:
        files = Path(download_artifacts(artifact_uri=f"models:/{name}/{version}", dst_path=folder))
        card = next(files.rglob(CARD_FILE), None)
        return "" if card is None else card.read_text("utf-8")[:MAX_DESCRIPTION]
