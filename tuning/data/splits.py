"""Splits examples into train, validation and test, in the same way for the same seed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuning.core.errors import BadInputError
from tuning.data.dependence import spans_of
from tuning.data.parts import Part, is_text, rows_of

Indexes = NDArray[np.int64]

# Labels with more distinct values are taken for numbers rather than for classes.
MAX_CLASSES = 100
# Every part needs examples of every class.
MIN_EXAMPLES = 5


def split_part(part: Part, shares: dict[str, float], *, seed: int = 0) -> dict[str, Part]:
    """Cuts parts off a part of arrays.

    Classes have the same shares in all parts if every class has a few examples. Examples of one
    group stay together. With times, each part that is cut off is later than what is left, and
    examples whose targets reach into it are left out.

    Args:
        part: Part of arrays; its groups or times, if it has some, tell which examples depend on
            each other.
        shares: Share of the examples, from 0 to 1, by the name of each part that is cut off; the
            last one in time comes first.
        seed: Seed of the random choice.

    Returns:
        The parts that were cut off, and ``train``, which is what is left.

    Raises:
        BadInputError: There are too few examples, or ``groups`` or ``times`` do not fit.
    """
    if part.groups is not None and part.times is not None:
        raise BadInputError("data: pass groups or times, not both")
    total = rows_of(part.x)
    rest = np.arange(total)
    parts: dict[str, Part] = {}
    for name, share in shares.items():
        cut = max(round(share * total), 1)
        if cut >= len(rest):
            raise BadInputError(f"data: {total} examples are too few to cut off {name}")
        if part.times is not None:
            rest, chosen = _latest(rest, cut, spans_of(part.times))
            if not len(rest):
                raise BadInputError(f"data: {total} examples are too few to cut off {name}")
        elif part.groups is not None:
            rest, chosen = by_groups(rest, cut / len(rest), part.groups, seed, name)
        else:
            rest, chosen = at_random(rest, cut, part.y, seed)
        parts[name] = part.chosen(name, chosen)
    return {"train": part.chosen("train", rest), **parts}


def _latest(rows: Indexes, cut: int, spans: "NDArray[Any]") -> tuple[Indexes, Indexes]:
    """Returns the rows that end before the latest ones, and the latest ones with whole times."""
    first, last = spans[rows, 0], spans[rows, 1]
    begin = np.sort(first)[-cut]
    return rows[last < begin], rows[first >= begin]


def at_random(rows: Indexes, cut: int, labels: Any, seed: int) -> Iterator[Indexes]:
    """Returns the rows that are left, and those that are cut off at random.

    Args:
        rows: Positions of the rows.
        cut: Number of rows to cut off.
        labels: Labels of all rows; classes get the same shares in both parts.
        seed: Seed of the choice.
    """
    from sklearn.model_selection import train_test_split

    classes = classes_for_strata(labels, MIN_EXAMPLES)
    stratify = None if classes is None else classes[rows]
    if stratify is not None and cut < len(np.unique(stratify)):
        stratify = None
    rest, chosen = train_test_split(rows, test_size=cut, random_state=seed, stratify=stratify)
    return iter((np.sort(rest), np.sort(chosen)))


def classes_for_strata(labels: Any, least: int) -> "NDArray[Any] | None":
    """Returns the labels if they are classes with at least so many examples each."""
    if not hasattr(labels, "shape") or len(labels.shape) != 1:
        return None
    if labels.dtype.kind not in "biu" and not is_text(labels):
        return None
    values, counts = np.unique(labels.astype(str), return_counts=True)
    return labels if len(values) <= MAX_CLASSES and counts.min() >= least else None


def by_groups(
    rows: Indexes, share: float, groups: "NDArray[Any]", seed: int, name: str
) -> Iterator[Indexes]:
    """Returns the rows that are left, and those of the groups that are cut off at random.

    Args:
        rows: Positions of the rows.
        share: Share of the groups to cut off.
        groups: Group of each of all rows.
        seed: Seed of the choice.
        name: Name of the part that is cut off, for messages.

    Raises:
        BadInputError: There are too few groups.
    """
    from sklearn.model_selection import GroupShuffleSplit

    try:
        splits = GroupShuffleSplit(1, test_size=share, random_state=seed)
        rest, chosen = next(splits.split(rows, groups=groups[rows]))
    except ValueError as error:
        raise BadInputError(f"groups: they are too few to cut off {name}: {error}") from None
    return iter((rows[rest], rows[chosen]))
