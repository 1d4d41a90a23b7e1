"""The files of a registered version: are they there, and are they those that were registered?"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_MODEL_FILE = "MLmodel"
_ADDED_BY_MLFLOW = "registered_model_meta"  # in a copy that was downloaded under its version


@dataclass(frozen=True)
class ModelFiles:
    """The files of a version.

    Attributes:
        digest: Hexadecimal digest of their names and contents; empty if they are gone.
        size_mb: Their size in megabytes.
    """

    digest: str
    size_mb: float


def files_of(address: str) -> ModelFiles:
    """Downloads a model and describes its files.

    Args:
        address: Address of the model in MLflow, such as ``models:/name/version``.
    """
    with downloaded(address) as folder:
        if folder is None:
            return ModelFiles("", 0.0)
        return describe_files(folder)


def describe_files(folder: Path) -> ModelFiles:
    """Describes the files of a model in a folder."""
    digest, size = hashlib.sha256(), 0
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name != _ADDED_BY_MLFLOW:
            content = file.read_bytes()
            size += len(content)
            digest.update(f"{file.relative_to(folder).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return ModelFiles(digest.hexdigest(), size / 1e6)


@contextmanager
def downloaded(address: str) -> Iterator[Path | None]:
    """Yields a folder with the files of a model; None if they are gone. An outage is an error."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as folder:
        try:
            files = Path(download_artifacts(artifact_uri=address, dst_path=folder))
        except FileNotFoundError:
            yield None
            return
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            yield None
            return
        yield files if (files / _MODEL_FILE).is_file() else None
