"""Rows that stand in two parts of the data: in times, in groups, or as copies."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuning.core.errors import BadInputError
from tuning.data.dependence import Dependence
from tuning.data.parts import Part, is_array, is_text, leaves, rows_of

# Two texts are copies if their sets of shingles overlap by this much: Broder, "On the resemblance
# and containment of documents", 1997.
JACCARD = 0.9
# Tokens per shingle.
SHINGLE = 4
# Integers are taken for tokens if a row has at least so many, and they have so many values: of
# flags and small counts, different rows have the same shingles.
MIN_TOKENS = 20
MIN_VALUES = 50
# Rows with fewer shingles are only compared as a whole.
MIN_SHINGLES = 8
# Larger arrays are not looked at.
MAX_BYTES = 2**32
MAX_SHINGLES = 30_000_000
SAMPLED = 1_000
# Shingles of more rows are compared last.
COMMON = 20
# Number of pairs of rows that are compared, so that texts from a few templates end too.
MAX_PAIRS = 400_000

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class SharedRows:
    """Rows of a part that stand in an earlier part too.

    Attributes:
        part: Name of the part.
        earlier: Name of the other part.
        rows: Number of rows of the part.
        equal: Number of rows whose inputs are equal to a row of the other part; texts are compared
            without their case, punctuation and spaces.
        similar: Number of further rows of texts or tokens that are nearly equal to such a row.
        at_least: Whether there may be more, because too many pairs would have to be compared.
    """

    part: str
    earlier: str
    rows: int
    equal: int
    similar: int
    at_least: bool = False


def check_apart(known: Mapping[str, Dependence]) -> None:
    """Checks that the parts follow each other in time and share no group.

    Args:
        known: What the task says about the rows of each part, in the order of time.

    Raises:
        BadInputError: The targets of a row reach into a later part, or a group is in two parts.
    """
    for (first, one), (second, other) in combinations(known.items(), 2):
        if one.times is not None and other.times is not None:
            last, begin = one.times[:, 1].max(), other.times[:, 0].min()
            if last >= begin:
                raise BadInputError(
                    f"times: a window of {first} reaches over the border: its targets go until "
                    f"{last}, and those of {second} begin at {begin}; leave out the rows between, "
                    "or split by time"
                )
        if one.groups is not None and other.groups is not None:
            common = np.intersect1d(one.groups, other.groups)
            if len(common):
                raise BadInputError(
                    f"groups: {len(common)} stand in both {first} and {second}, such as "
                    f"{common[0]!r}; a model would be judged on what it has learned by heart"
                )


def shared_rows(parts: Mapping[str, Part]) -> list[SharedRows]:
    """Counts the rows of each part whose inputs stand in an earlier part; labels do not matter.

    Args:
        parts: Parts by name. Data sets, and arrays of more than ``MAX_BYTES``, are left out.
    """
    arrays = {name: part for name, part in parts.items() if _can_be_hashed(part)}
    kinds = _common_types([part.x for part in arrays.values()])
    digests = {name: _row_digests(part, kinds) for name, part in arrays.items()}
    shingles = {name: _shingles(part) for name, part in arrays.items()}
    common = _common([row for each in shingles.values() if each is not None for row in each])
    found = []
    for earlier, part in combinations(arrays, 2):
        equal = np.isin(digests[part], digests[earlier])
        similar, is_whole = np.zeros_like(equal), True
        pair = shingles[earlier], shingles[part]
        if pair[0] is not None and pair[1] is not None:
            similar, is_whole = _similar(pair[0], pair[1], common)
        counts = int(equal.sum()), int((similar & ~equal).sum())
        if any(counts):
            found.append(SharedRows(part, earlier, len(equal), *counts, not is_whole))
    return found


def _can_be_hashed(part: Part) -> bool:
    return part.dataset is None and sum(array.nbytes for array in leaves(part.x)) <= MAX_BYTES


def _common_types(inputs: Sequence[Any]) -> list[Any]:
    """Returns the least precise type of each array among the parts, to compare equal numbers."""
    columns = zip(*map(leaves, inputs), strict=False)
    return [min((array.dtype for array in column), key=_precision) for column in columns]


def _precision(kind: Any) -> int:
    return 100 if kind.hasobject or kind.kind not in "f" else int(kind.itemsize)


def _row_digests(part: Part, kinds: Sequence[Any]) -> Hashes:
    """Returns a hash of the inputs of each row."""
    if is_text(part.x) and np.ndim(part.x) == 1:
        rows = [(" ".join(_words(text)) or f"\0{text}").encode() for text in part.x]
        return np.array([_hash(row) for row in rows], dtype=np.uint64)
    typed = list(zip(leaves(part.x), kinds, strict=False))
    return np.array(
        [
            _hash(b"\0".join(_bytes(array[row], kind) for array, kind in typed))
            for row in range(rows_of(part.x))
        ],
        dtype=np.uint64,
    )


def _bytes(value: Any, kind: Any) -> bytes:
    """Returns the content of the inputs of a row; numbers in a common type, whatever they hold."""
    array = np.asarray(value)
    if array.dtype.hasobject:
        elements = [repr(each) if np.isscalar(each) else each for each in array.ravel()]
        parts = [e.encode() if isinstance(e, str) else _bytes(e, None) for e in elements]
        return b"\1".join([str(array.shape).encode(), *parts])
    if kind is not None and array.dtype.kind == "f" and kind.kind == "f":
        array = array.astype(kind)
    elif array.dtype.kind in "iu":
        array = array.astype(np.int64)
    return str(array.shape).encode() + np.ascontiguousarray(array).tobytes()


def _hash(row: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "little")


def _words(text: Any) -> list[str]:
    decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return re.findall(r"\w+", decoded.casefold())


def _shingles(part: Part) -> list[Hashes] | None:
    """Returns the set of shingles of each row; None if rows are neither texts nor tokens."""
    if not is_array(part.x):
        return None
    array = np.asarray(part.x)
    if array.size > MAX_SHINGLES:
        return None
    if is_text(array) and array.ndim == 1:
        tokens = [np.array([_hash(w.encode()) for w in _words(t)], np.uint64) for t in array]
    elif array.ndim == 2 and array.dtype in (np.int32, np.int64) and array.shape[1] >= MIN_TOKENS:
        if len(np.unique(array[:SAMPLED])) < MIN_VALUES:
            return None
        tokens = [np.trim_zeros(row).astype(np.uint64) for row in array]  # 0 is padding
    else:
        return None
    if sum(map(len, tokens)) > MAX_SHINGLES:
        return None
    return [_shingles_of(row) for row in tokens]


def _shingles_of(tokens: Hashes) -> Hashes:
    if len(tokens) < SHINGLE + MIN_SHINGLES - 1:
        return np.empty(0, np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(tokens, SHINGLE)
    hashed = np.zeros(len(windows), np.uint64)
    for column in windows.T:  # the overflow is wanted: it is a hash
        hashed = (hashed ^ column) * np.uint64(0x9E3779B97F4A7C15)
        hashed ^= hashed >> np.uint64(29)
    return np.unique(hashed)


def _similar(
    earlier: Sequence[Hashes], later: Sequence[Hashes], common: Hashes
) -> tuple[NDArray[np.bool_], bool]:
    """Returns which later rows have an earlier row with a Jaccard index of ``JACCARD`` or more.

    In any order of all elements, two such sets share one of the first few elements of each, so
    only pairs that do are compared: Chaudhuri, Ganti and Kaushik, "A Primitive Operator for
    Similarity Joins", ICDE 2006.

    Returns:
        Whether each later row has such an earlier row, and whether all pairs were compared.
    """
    first_rows, first_keys = _firsts(earlier, common)
    order = np.argsort(first_keys, kind="stable")
    first_rows, first_keys = first_rows[order], first_keys[order]
    second_rows, second_keys = _firsts(later, common)
    begins = np.searchsorted(first_keys, second_keys, side="left")
    ends = np.searchsorted(first_keys, second_keys, side="right")
    found = np.zeros(len(later), dtype=bool)
    compared: set[tuple[int, int]] = set()
    # The rarest elements first: they tell most, and they are cheap.
    places = np.argsort(ends - begins, kind="stable")
    for place in places[(ends - begins)[places] > 0]:
        row = int(second_rows[place])
        if found[row]:
            continue
        if len(compared) > MAX_PAIRS:
            return found, False
        for other in first_rows[begins[place] : ends[place]]:
            if (row, int(other)) not in compared:
                compared.add((row, int(other)))
                if _jaccard(later[row], earlier[int(other)]) >= JACCARD:
                    found[row] = True
                    break
    return found, True


def _common(sets: Sequence[Hashes]) -> Hashes:
    """Returns the elements of many sets, sorted; they come last, or many pairs share them."""
    values, counts = np.unique(np.concatenate([*sets, np.empty(0, np.uint64)]), return_counts=True)
    return np.asarray(values[counts > COMMON])


def _firsts(sets: Sequence[Hashes], common: Hashes) -> tuple[NDArray[np.int64], Hashes]:
    """Returns the first elements of each set, with the rows of the sets."""
    rows, keys = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    for row, each in enumerate(sets):
        if len(each):
            kept = len(each) - ceil(JACCARD * len(each)) + 1
            places = np.minimum(np.searchsorted(common, each), max(len(common) - 1, 0))
            is_common = common[places] == each if len(common) else np.zeros(len(each), bool)
            chosen = np.concatenate([each[~is_common], each[is_common]])[:kept]
            rows.append(np.full(len(chosen), row))
            keys.append(chosen)
    return np.concatenate(rows), np.concatenate(keys)


def _jaccard(first: Hashes, second: Hashes) -> float:
    shorter, longer = sorted((len(first), len(second)))
    if shorter < JACCARD * longer:
        return 0.0
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common / (shorter + longer - common)
