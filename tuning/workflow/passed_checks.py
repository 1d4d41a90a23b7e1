"""Remembers which studies have passed the check, so that the same one is not checked again."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tuning.core.version import VERSION
from tuning.study.file import Study
from tuning.workflow.code import imported_files

_PACKAGES = ("keras", "jax", "tensorflow", "torch", "numpy")


def check_token(
    study: Study, data_digest: str, backend: str, code: Mapping[str, str] | None = None
) -> str:
    """Returns a hash of everything on which the result of the check depends.

    That is the study, its data, the code of every imported module below the current folder and
    below that of the task, and the versions of the packages that train.

    Args:
        study: Study that is checked.
        data_digest: Digest of its data.
        backend: Keras backend.
        code: Digests of further code, by name.
    """
    digest = hashlib.sha256()
    versions = (VERSION, *map(_version, _PACKAGES))
    further = [f"{name} {value}" for name, value in sorted((code or {}).items())]
    for text in (study.to_yaml(), data_digest, backend, *versions, *further):
        digest.update(text.encode() + b"\0")
    for file in imported_files(study.task):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def has_passed(folder: Path, token: str) -> bool:
    """Returns whether a study with this token has passed the check on this machine."""
    return (folder / "checks" / token).exists()


def remember(folder: Path, token: str) -> None:
    """Notes that a study with this token has passed the check."""
    with suppress(OSError):  # then it is checked again
        (folder / "checks").mkdir(parents=True, exist_ok=True)
        (folder / "checks" / token).touch()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
