"""Finds registered models, their versions and their aliases, and locks the registry."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core.errors import BadInputError, TuningError
from tuning.core.task import DataInfo
from tuning.study.file import Study
from tuning.tracking import keys
from tuning.tracking.retry import or_none

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_SECONDS = 60


def registered_name(study: Study, data: DataInfo) -> str:
    """Returns the name in the registry. Substitute data get a separate name."""
    return f"{study.registered_model}-{data.label}" if data.warning else study.registered_model


@contextmanager
def registry_lock(name: str) -> Iterator[None]:
    """Locks a registered model against other processes on this machine.

    The registry has no compare-and-set, so only one process at a time may read and set an alias.

    Raises:
        TuningError: Another process on this machine holds the lock for too long.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(Path(tempfile.gettempdir()) / f"tuning-promote-{name}.lock")
    try:
        held = lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise TuningError(
            f"{name}: another process has been using the registry for {LOCK_SECONDS} s; "
            "try again later"
        ) from None
    with held:
        yield


def get_version(client: "MlflowClient", name: str, version: str) -> Any:
    """Returns a version of a registered model.

    Raises:
        BadInputError: There is no such version, or the store cannot be read.
    """
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(name, version)
    except MlflowException as error:
        raise BadInputError(f"there is no version {version!r} of {name!r}") from error


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


def _challenger(client: "MlflowClient", prefix: str) -> tuple[str, str]:
    for name, aliases in registered_aliases(client, prefix).items():
        if keys.CHALLENGER in aliases:
            return name, str(aliases[keys.CHALLENGER])
    raise BadInputError(
        f"{prefix!r} has no {keys.CHALLENGER} yet; run `tune` to register one, or pass a target"
    )


def registered_aliases(client: "MlflowClient", prefix: str) -> dict[str, Mapping[str, str]]:
    """Returns the aliases by registered name: first the study's name, then those of other data."""
    models = client.search_registered_models(f"name LIKE '{_checked(prefix)}%'")
    names = sorted(m.name for m in models if m.name == prefix or m.name.startswith(f"{prefix}-"))
    return {name: client.get_registered_model(name).aliases for name in names}


def _checked(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+", text):
        raise BadInputError(f"{text!r} is neither a run id nor a version")
    return text
