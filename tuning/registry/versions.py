"""The model registry: versions of raw input, their aliases and facts, and asking them."""

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

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_SECONDS = 60


def registered_name(study: Study, data: DataInfo) -> str:
    """The name in the registry; data that stand in for real ones have a name of their own."""
    return f"{study.registered_model}-{data.label}" if data.warning else study.registered_model


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
        return client.get_model_version_by_alias(name, keys.CHAMPION)
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
        if version.tags.get(keys.PARENT_RUN) == target
    ]
    if not found:
        raise BadInputError(
            f"no registered version comes from run {target!r}; pass the run id of a `tune`, "
            "a version number, or name/version"
        )
    return found[0].name, str(found[0].version)


def _challenger(client: "MlflowClient", prefix: str) -> tuple[str, str]:
    for name, aliases in registered_aliases(client, prefix).items():
        if keys.CHALLENGER in aliases:
            return name, str(aliases[keys.CHALLENGER])
    raise BadInputError(
        f"{prefix!r} has no {keys.CHALLENGER} yet; `tune` registers one, or pass a target"
    )


def registered_aliases(client: "MlflowClient", prefix: str) -> dict[str, Mapping[str, str]]:
    """Aliases by registered name: the study's own, then those of stand-in data."""
    found = client.search_registered_models(f"name LIKE '{_plain(prefix)}%'")
    names_ = sorted(m.name for m in found if m.name == prefix or m.name.startswith(f"{prefix}-"))
    return {name: client.get_registered_model(name).aliases for name in names_}


def _plain(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+", text):
        raise BadInputError(f"{text!r} is neither a run id nor a version")
    return text
