"""Parts of arrays in files, which all workers of a machine map into memory."""

import hashlib
import pickle
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tuning.core.errors import BadInputError
from tuning.data.parts import Part, structure_map


@dataclass(frozen=True)
class _Saved:
    """Stands for an array in a file of its own."""

    file: str


def store_parts(parts: Mapping[str, Part], folder: Path) -> Path:
    """Writes parts into a folder, so that all workers share one copy in memory.

    Returns:
        Folder of these parts; the same values always have the same folder.

    Raises:
        BadInputError: A data set cannot be sent to the workers.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder, prefix="writing-"))
    try:
        content = {name: _store(part, temporary) for name, part in parts.items()}
        (temporary / "parts.pickle").write_bytes(_pickled(content))
        target = folder / _digest_of_files(temporary)
        if not target.exists():
            temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _digest_of_files(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        with file.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()[:32]


def _store(part: Part, folder: Path) -> Part:
    count = 0

    def save(array: Any) -> Any:
        nonlocal count
        if array.dtype.hasobject:
            return array
        file = folder / f"{part.name}-{count}.npy"
        count += 1
        np.save(file, np.ascontiguousarray(array))
        return _Saved(file.name)

    return _mapped(part, save)


def _pickled(content: Mapping[str, Part]) -> bytes:
    import cloudpickle

    try:
        pickled: bytes = cloudpickle.dumps(dict(content))
    except Exception as error:
        raise BadInputError(
            f"data: a data set cannot be sent to the workers ({error}); pass a function that "
            "returns it"
        ) from error
    return pickled


def load_parts(folder: Path) -> dict[str, Part]:
    """Reads parts that ``store_parts`` has written; arrays are mapped into memory."""
    with (folder / "parts.pickle").open("rb") as stream:
        content: dict[str, Part] = pickle.load(stream)

    def load(value: Any) -> Any:
        return np.load(folder / value.file, mmap_mode="r") if isinstance(value, _Saved) else value

    return {name: _mapped(part, load) for name, part in content.items()}


def _mapped(part: Part, function: Any) -> Part:
    """Applies a function to every array of a part."""
    names = ("x", "y", "weights", "times", "groups")
    return replace(part, **{n: structure_map(function, getattr(part, n)) for n in names})
