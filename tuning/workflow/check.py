"""Checks, before anything is trained, that the models of a study can be judged."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tuning.core.errors import BadInputError
from tuning.core.task import Examples, Split, Task

_PARTS: Mapping[Split, tuple[str, ...]] = {"search": ("train", "validation"), "test": ("test",)}


def check_labels(task: Task, *, with_test: bool = True) -> None:
    """Checks that every part has one label per example, 0 or 1.

    Args:
        task: Task whose data are prepared.
        with_test: Whether to check the test split too. Only its labels are looked at.

    Raises:
        BadInputError: A part is missing, is not a pair, or has labels that cannot be judged. The
            message names the part and the problem.
    """
    splits: list[Split] = ["search", "test"] if with_test else ["search"]
    for split in splits:
        parts = task.load(split)
        for name in _PARTS[split]:
            if name not in parts:
                raise BadInputError(
                    f"task: load({split!r}) returns no part {name!r}, only "
                    f"{', '.join(map(repr, parts)) or 'an empty mapping'}; add the part"
                )
            _check_part(name, parts[name])


def _check_part(name: str, examples: Examples) -> None:
    try:
        inputs, labels = examples
    except (TypeError, ValueError):
        raise BadInputError(
            f"task: the part {name!r} must be a pair of inputs and labels; "
            f"got {type(examples).__name__}"
        ) from None
    problem = _problem(labels) or _mismatch(inputs, labels)
    if problem:
        raise BadInputError(
            f"task: the labels of the part {name!r} {problem}. Only binary classifiers can be "
            "judged: one label per example, 0 or 1, in an array of shape (examples,)"
        )


def _problem(labels: Any) -> str:
    """Returns what is wrong with the labels; empty if nothing is wrong."""
    array = np.asarray(labels)
    if array.ndim != 1:
        return f"have the shape {array.shape}"
    if array.size == 0:
        return "are empty"
    if array.dtype.kind not in "buif":
        return f"are of type {array.dtype}"
    other = array[(array != 0) & (array != 1)]
    return f"contain {other[0].item()!r}" if other.size else ""


def _mismatch(inputs: Any, labels: Any) -> str:
    """What is wrong with the number of labels; empty if the inputs are no single array."""
    rows = getattr(inputs, "shape", None)
    if not rows or rows[0] == len(labels):
        return ""
    return f"are {len(labels)} for {rows[0]} inputs"
