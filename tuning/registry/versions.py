"""Finds registered models, their versions and their aliases."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tuning.core.errors import BadInputError
from tuning.core.task import DataInfo
from tuning.study.file import Study
from tuning.tracking import keys
from tuning.tracking.retry import or_none

if TYPE_CHECKING:
    from mlflow import MlflowClient


def registered_name(study: Study, data: DataInfo) -> str:
    """Returns the name in the registry. Data that stand in for real ones get a separate name."""
    return f"{study.registered_model}-{data.label}" if data.stand_in else study.registered_model


def get_version(client: "MlflowClient", name: str, version: str) -> Any:
    """Returns a version of a registered model.

    Raises:
        BadInputError: There is no such version, or the store cannot be read.
    """
    found = or_none(lambda: client.get_model_version(name, version))
    if found is None:
        raise BadInputError(f"there is no version {version!r} of {name!r}")
    return found


def version_of(client: "MlflowClient", address: str) -> Any:
    """Returns the registered version of an address such as ``models:/name@alias``.

    Raises:
        BadInputError: The address is not that of a registered version.
    """
    match = re.fullmatch(r"models:/([\w.-]+)([/@])([\w.-]+)", address)
    if match is None:
        raise BadInputError(f"model: {address} is no version of a registered model")
    name, kind, version = match.groups()
    if kind == "/":
        return get_version(client, name, version)
    found = or_none(lambda: client.get_model_version_by_alias(name, version))
    if found is None:
        raise BadInputError(f"model: {name!r} has no version with the alias {version!r}")
    return found


def get_champion(client: "MlflowClient", name: str) -> Any | None:
    """Returns the version that is champion, or None."""
    return or_none(lambda: client.get_model_version_by_alias(name, keys.CHAMPION))


def find_version(client: "MlflowClient", target: str | None, default_name: str) -> tuple[str, str]:
    """Finds the version that ``promote`` is called for.

    Args:
        client: Client of the MLflow store.
        target: Id of a study's parent run, ``version``, or ``name/version``. None means the
            challenger.
        default_name: Name of the registered model if ``target`` has no name.

    Returns:
        The name of the registered model and the number of the version. A number that is given in
        ``target`` is not checked.

    Raises:
        BadInputError: No version comes from this run, or there is no challenger.
    """
    if target is None:
        return _challenger(client, default_name)
    if "/" in target:
        name, _, version = target.rpartition("/")
        return name, version
    if target.isdigit() and len(target) < 10:
        return default_name, target
    for found in client.search_model_versions(f"run_id='{_checked(target)}'"):
        if found.tags.get(keys.PARENT_RUN) == target:
            return found.name, str(found.version)
    raise BadInputError(
        f"no registered version comes from run {target!r}; pass the run id of a `tune`, "
        "a version number, or name/version"
    )


def _challenger(client: "MlflowClient", own_name: str) -> tuple[str, str]:
    for name, aliases in registered_aliases(client, own_name).items():
        if keys.CHALLENGER in aliases:
            return name, str(aliases[keys.CHALLENGER])
    raise BadInputError(
        f"{own_name!r} has no {keys.CHALLENGER} yet; run `tune` to register one, or pass a target"
    )


def registered_aliases(client: "MlflowClient", own_name: str) -> dict[str, Mapping[str, str]]:
    """Returns the aliases of the study's registered models, by name.

    First comes the one of exactly this name, then those that were registered for stand-in data of
    the same study, which have a tag that says so. A name that only begins alike is another model.
    """
    models = client.search_registered_models(f"name LIKE '{_checked(own_name)}-%'")
    stand_ins = sorted(m.name for m in models if m.tags.get(keys.STAND_IN) == own_name)
    own = or_none(lambda: client.get_registered_model(own_name))
    names = [*([own_name] if own is not None else []), *stand_ins]
    return {name: client.get_registered_model(name).aliases for name in names}


def _checked(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+", text):
        raise BadInputError(f"{text!r} is neither a run id nor a version")
    return text
