"""Splits examples into train, validation and test, in the same way for the same seed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuning.core.errors import BadInputError
from tuning.data.parts import Part, is_text, rows_of, take

Indexes = NDArray[np.int64]

# Labels with more distinct values are taken for numbers rather than for classes.
MAX_CLASSES = 100
# Every part needs examples of every class.
MIN_EXAMPLES = 5


def split_part(
    part: Part, shares: dict[str, float], *, seed: int = 0, groups: Any = None, times: Any = None
) -> dict[str, Part]:
    """Cuts parts off a part of arrays.

    Classes have the same shares in all parts if every class has a few examples. Examples of one
    group stay together. With times, each part that is cut off is later than what is left.

    Args:
        part: Part of arrays.
        shares: Share of the examples, from 0 to 1, by the name of each part that is cut off; the
            last one in time comes first.
        seed: Seed of the random choice.
        groups: Group of each example, of shape (examples,); None if examples are independent.
        times: Time of each example, of shape (examples,); None if they have no order.

    Returns:
        The parts that were cut off, and ``train``, which is what is left.

    Raises:
        BadInputError: There are too few examples, or ``groups`` or ``times`` do not fit.
    """
    if groups is not None and times is not None:
        raise BadInputError("data: pass groups or times, not both")
    total = rows_of(part.x)
    for name, given in (("groups", groups), ("times", times)):
        if given is not None and np.shape(given) != (total,):
            raise BadInputError(
                f"{name}: one value per example is needed, of shape ({total},); got the shape "
                f"{np.shape(given)}"
            )
    rest = np.arange(total)
    parts: dict[str, Part] = {}
    for name, share in shares.items():
        cut = max(round(share * total), 1)
        if cut >= len(rest):
            raise BadInputError(f"data: {total} examples are too few to cut off {name}")
        if times is not None:
            order = np.argsort(np.asarray(times)[rest], kind="stable")
            rest, chosen = rest[np.sort(order[:-cut])], rest[np.sort(order[-cut:])]
        elif groups is not None:
            rest, chosen = _by_groups(rest, cut / len(rest), np.asarray(groups), seed, name)
        else:
            rest, chosen = _at_random(rest, cut, part.y, seed)
        parts[name] = _chosen(part, name, chosen)
    return {"train": _chosen(part, "train", rest), **parts}


def _chosen(part: Part, name: str, rows: Indexes) -> Part:
    return Part(name, take(part.x, rows), take(part.y, rows), take(part.weights, rows))


def _at_random(rows: Indexes, cut: int, labels: Any, seed: int) -> Iterator[Indexes]:
    from sklearn.model_selection import train_test_split

    classes = _classes(labels)
    stratify = None if classes is None else classes[rows]
    if stratify is not None and cut < len(np.unique(stratify)):
        stratify = None
    rest, chosen = train_test_split(rows, test_size=cut, random_state=seed, stratify=stratify)
    return iter((np.sort(rest), np.sort(chosen)))


def _classes(labels: Any) -> "NDArray[Any] | None":
    """Returns the labels if they are classes with enough examples each."""
    if not hasattr(labels, "shape") or len(labels.shape) != 1:
        return None
    if labels.dtype.kind not in "biu" and not is_text(labels):
        return None
    values, counts = np.unique(labels.astype(str), return_counts=True)
    return labels if len(values) <= MAX_CLASSES and counts.min() >= MIN_EXAMPLES else None


def _by_groups(
    rows: Indexes, share: float, groups: "NDArray[Any]", seed: int, name: str
) -> Iterator[Indexes]:
    from sklearn.model_selection import GroupShuffleSplit

    try:
        splits = GroupShuffleSplit(1, test_size=share, random_state=seed)
        rest, chosen = next(splits.split(rows, groups=groups[rows]))
    except ValueError as error:
        raise BadInputError(f"groups: they are too few to cut off {name}: {error}") from None
    return iter((rows[rest], rows[chosen]))
