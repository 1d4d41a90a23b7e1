"""Describes the data of a task that does not describe them itself."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tuning.core.task import DataInfo
from tuning.data.parts import Part, leaves

# Larger arrays are hashed by a sample of their rows.
MAX_HASHED_BYTES = 2**28
SAMPLED_ROWS = 10_000


def describe_data(name: str, parts: Mapping[str, Part]) -> DataInfo:
    """Returns a description of the data with digests of their values; each part is read once.

    Args:
        name: Name of the task.
        parts: All parts by name.
    """
    digest = hashlib.sha256()
    test_digest = ""
    for part in parts.values():
        digest.update(part.name.encode())
        if part.name == "test":
            test_digest = digest_of_test(part)
            digest.update(test_digest.encode())
        else:
            _hash_part(digest, part)
    return DataInfo(
        label="data",
        name=name,
        source=f"load of {name}",
        digest=digest.hexdigest(),
        test_digest=test_digest,
        sizes={part.name: part.examples for part in parts.values() if part.examples is not None},
    )


def digest_of_test(part: Part) -> str:
    """Returns the digest of a test part: of all its inputs, labels and weights."""
    digest = hashlib.sha256()
    _hash_part(digest, part)
    return digest.hexdigest()


def _hash_part(digest: Any, part: Part) -> None:
    judged = part.name == "test"  # its rows are judged, so every one counts
    for structure in (part.x, part.y):
        if isinstance(structure, Mapping):
            digest.update("\0".join(map(str, structure)).encode())
    if part.dataset is None:
        for array in leaves((part.x, part.y, part.weights)):
            _hash_array(digest, array, whole=judged)
        if not judged:
            for array in leaves((part.times, part.groups)):
                _hash_array(digest, array)
    elif judged:
        _hash_batches(digest, part)
    else:
        for array in leaves(part.head(64)):
            _hash_array(digest, array)


def _hash_batches(digest: Any, part: Part) -> None:
    """Hashes all examples of a data set; the size of its batches does not matter."""
    hashes: list[Any] = []
    for batch in part.batches(1):
        arrays = leaves(batch)
        if not hashes:
            hashes = [hashlib.sha256(f"{a.dtype}{a.shape[1:]}".encode()) for a in arrays]
        for each, array in zip(hashes, arrays, strict=True):
            _hash_values(each, array)
    for each in hashes:
        digest.update(each.digest())


def _hash_values(digest: Any, array: Any) -> None:
    if array.dtype.hasobject:
        digest.update("".join(f"{value}\0" for value in array.reshape(-1)).encode())
    else:
        digest.update(np.ascontiguousarray(array).tobytes())


def _hash_array(digest: Any, array: Any, *, whole: bool = False) -> None:
    digest.update(f"{array.dtype}{array.shape}".encode())
    if array.dtype.hasobject:
        digest.update("\0".join(map(str, array.reshape(-1))).encode())
    elif array.nbytes <= MAX_HASHED_BYTES:
        digest.update(np.ascontiguousarray(array).tobytes())
    elif whole:
        for start in range(0, len(array), SAMPLED_ROWS):
            digest.update(np.ascontiguousarray(array[start : start + SAMPLED_ROWS]).tobytes())
    else:
        rows = np.linspace(0, len(array) - 1, SAMPLED_ROWS).astype(int)
        digest.update(np.ascontiguousarray(array[np.unique(rows)]).tobytes())
