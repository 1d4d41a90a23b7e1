"""Times and groups of rows that depend on each other, in one form."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuning.core.errors import BadInputError


@dataclass(frozen=True, kw_only=True)
class Dependence:
    """What a task says about rows that depend on each other.

    Attributes:
        times: First and last time that the targets of each row cover, of shape (rows, 2); None if
            rows have no times.
        groups: Group of each row, of shape (rows,); None if rows are independent.
    """

    times: "NDArray[Any] | None" = None
    groups: "NDArray[Any] | None" = None


def checked_rows(field: str, values: Any, count: int | None) -> "NDArray[Any]":
    """Returns times or groups of rows as an array that can be compared and stored.

    Times become numbers, or dates without a time zone (UTC) if they are dates or texts of dates.
    Groups become whole numbers or texts.

    Args:
        field: ``times`` or ``groups``.
        values: One value per row; of times also the first and the last one, of shape (rows, 2).
        count: Number of rows; None if it is not known.

    Raises:
        BadInputError: The values have another shape, one is missing, or they are no times.
    """
    array = np.asarray(values)
    ends = (2,) if field == "times" and array.ndim == 2 else ()
    expected = len(array) if count is None and array.ndim else count
    if array.shape != (expected, *ends):
        rows = "rows" if count is None else count
        also = f" or ({rows}, 2)" if field == "times" else ""
        raise BadInputError(
            f"{field}: one value per example is needed, of shape ({rows},){also}; got the shape "
            f"{array.shape}"
        )
    flat = _as_times(array) if field == "times" else _as_groups(array)
    return flat.reshape(array.shape)


def rows_that_depend(times: Any, groups: Any) -> "dict[str, NDArray[Any]]":
    """Returns the times or the groups of test rows as an array, by name; empty without them.

    Raises:
        BadInputError: Both are given, or they have not one value per row.
    """
    given = {"times": times, "groups": groups}
    arrays = {
        name: checked_rows(name, each, None) for name, each in given.items() if each is not None
    }
    if len(arrays) > 1:
        raise BadInputError("pass groups or times, not both: rows of one time are taken together")
    return arrays


def _as_times(array: "NDArray[Any]") -> "NDArray[Any]":
    import pandas as pd

    if array.dtype.kind in "iuf":
        _refuse_missing("times", np.isnan(array.astype(float)).ravel())
        return array
    flat = array.ravel()
    if array.dtype.kind != "M":
        try:
            form = "ISO8601" if isinstance(flat[0], str) else None  # others are ambiguous
            dates = pd.to_datetime(pd.Series(flat), utc=True, format=form)
            flat = dates.dt.tz_localize(None).to_numpy()
        except (TypeError, ValueError) as error:
            raise BadInputError(
                f"times: numbers or dates are needed, texts such as 2026-03-28T01:00 ({error})"
            ) from None
    _refuse_missing("times", np.isnat(flat))
    return flat.astype("datetime64[ns]")


def _as_groups(array: "NDArray[Any]") -> "NDArray[Any]":
    import pandas as pd

    flat = array.ravel()
    _refuse_missing("groups", pd.isna(pd.Series(flat)).to_numpy())
    if array.dtype.kind in "iub":
        return flat
    if array.dtype.kind == "f" and (flat == np.round(flat)).all():
        return flat.astype(np.int64)
    return np.array([str(value) for value in flat])


def _refuse_missing(field: str, missing: "NDArray[np.bool_]") -> None:
    if missing.any():
        raise BadInputError(
            f"{field}: {int(missing.sum())} are missing, the first of row "
            f"{int(np.argmax(missing))}; every row needs one"
        )


def spans_of(times: Any) -> "NDArray[Any]":
    """Returns the first and the last time that each row covers, of shape (rows, 2)."""
    array = np.asarray(times)
    return np.stack([array, array], axis=1) if array.ndim == 1 else array


def horizon_of(times: Any) -> int:
    """Returns the largest number of rows' first times that one row covers; 1 without overlaps."""
    spans = spans_of(times)
    units = np.unique(spans[:, 0])
    begins = np.searchsorted(units, spans[:, 0], side="left")
    ends = np.searchsorted(units, spans[:, 1], side="right")
    return max(int((ends - begins).max()), 1)
