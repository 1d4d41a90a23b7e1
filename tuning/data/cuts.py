"""Cuts of the rows for training and validation, so that each fresh seed can have its own."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuning.core.errors import BadInputError
from tuning.core.seeds import derive_seed
from tuning.core.trial import CUT, Resample
from tuning.data.dependence import spans_of
from tuning.data.splits import Indexes, at_random, by_groups, classes_for_strata


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A cut of the rows that are not for the test into rows for training and for validation.

    Attributes:
        method: Method of ``confirm.resample``, without ``none``.
        number: Number of the cut, from 1.
        folds: Number of folds, or of the validation periods of a rolling origin.
        gap: Number of times between the last row for training and the first for validation.
        embargo: Number of times after validation that are left out of the training.
        seed: Seed of the study.
    """

    method: Resample
    number: int
    folds: int = 5
    gap: int = 0
    embargo: int = 0
    seed: int = 0

    def rows(
        self,
        count: int,
        share: float,
        *,
        labels: Any = None,
        times: Any = None,
        groups: Any = None,
    ) -> tuple[Indexes, Indexes]:
        """Returns the positions of the rows for training and for validation.

        Args:
            count: Number of rows.
            share: Share of the rows for validation, from 0 to 1; folds have shares of their own.
            labels: Labels of the rows; classes get the same shares in both parts. None if they
                have none.
            times: Time of each row, of shape (rows,), or the first and the last time that its
                targets cover, of shape (rows, 2); None if rows have no times.
            groups: Group of each row, of shape (rows,); None if rows are independent.

        Raises:
            BadInputError: The method does not fit such rows, or there are too few of them.
        """
        if times is not None and self.method not in ("folds", "rolling"):
            raise _unfit(self.method, "rows have times", "rolling or folds")
        if groups is not None and self.method not in ("folds", "grouped"):
            raise _unfit(self.method, "rows belong to groups", "grouped or folds")
        if times is not None:
            return self._by_time(spans_of(times), share)
        if self.method == "rolling":
            raise _unfit("rolling", "rows have no times", "folds, or give the task times(part)")
        if self.method == "grouped" and groups is None:
            raise _unfit("grouped", "rows have no groups", "split, or give the task groups(part)")
        if self.method == "split":
            cut = max(round(share * count), 1)
            chosen = at_random(np.arange(count), cut, labels, self._seed(self.number))
        elif self.method == "grouped":
            seed = self._seed(self.number)
            chosen = by_groups(np.arange(count), share, np.asarray(groups), seed, "validation")
        else:
            return self._fold(count, labels, groups)
        train, validation = chosen
        return train, validation

    def _seed(self, number: int) -> int:
        return derive_seed(self.seed, "cut", number)

    def _fold(self, count: int, labels: Any, groups: Any) -> tuple[Indexes, Indexes]:
        from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

        again, fold = divmod(self.number - 1, self.folds)
        options = {"n_splits": self.folds, "shuffle": True, "random_state": self._seed(again)}
        classes = classes_for_strata(labels, self.folds)
        try:
            if groups is not None:
                splits = GroupKFold(**options).split(np.zeros(count), groups=groups)
            elif classes is not None:
                splits = StratifiedKFold(**options).split(np.zeros(count), classes)
            else:
                splits = KFold(**options).split(np.zeros(count))
            train, validation = list(splits)[fold]
        except ValueError as error:
            raise BadInputError(f"confirm.folds: {self.folds} folds do not fit: {error}") from None
        return train, validation

    def _by_time(self, spans: "NDArray[Any]", share: float) -> tuple[Indexes, Indexes]:
        """Cuts out a block of times, and leaves out rows whose targets reach into it."""
        first, last = spans[:, 0], spans[:, 1]
        units = np.unique(first)
        begin, end, length = self._block(len(units), share)
        validation = (first >= units[begin]) & (first <= units[end - 1])
        limit = units[max(begin - self.gap, 0)]
        train = (last < limit) & (first >= units[max(begin - self.gap - length, 0)])
        if self.method == "folds":
            reached = np.searchsorted(units, last[validation].max(), side="right") + self.embargo
            if reached < len(units):
                train |= first >= units[reached]
        if not train.any():
            raise BadInputError(
                f"confirm.resample: {self.method} number {self.number} leaves no rows to train "
                f"on ({len(units)} times, gap {self.gap}); use fewer folds or a smaller gap"
            )
        return np.flatnonzero(train), np.flatnonzero(validation)

    def _block(self, times: int, share: float) -> tuple[int, int, int]:
        """Returns the first time of validation, the one after its last, and the times to train."""
        if self.method == "folds":
            edges = np.linspace(0, times, self.folds + 1).astype(int)
            fold = (self.number - 1) % self.folds
            return int(edges[fold]), int(edges[fold + 1]), times
        # The last part of the times is cut into blocks. Every seed trains on as many times, or its
        # gain would change with their number.
        size = round(share * times) // self.folds
        if size < 1:
            raise BadInputError(
                f"confirm.folds: {round(share * times)} times for validation are too few for "
                f"{self.folds} blocks; use fewer"
            )
        end = times - (self.number - 1) * size  # the first block is the latest
        return end - size, end, times - self.folds * size - self.gap

    def tag(self) -> dict[str, str]:
        """Returns the tag of a trial that trains on this cut."""
        return {CUT: json.dumps(asdict(self))}


def cut_of(tags: Mapping[str, str]) -> Cut | None:
    """Returns the cut of a trial by its tags; None for the task's own cut."""
    return Cut(**json.loads(tags[CUT])) if CUT in tags else None


def overlap_of(parts: "list[Indexes]") -> float:
    """Returns the mean share of rows that two parts have in common.

    It is the correlation of two means over such rows: of parts with m and n rows, the number of
    common rows over √(m n).
    """
    shares = [
        len(np.intersect1d(first, second)) / (len(first) * len(second)) ** 0.5
        for first, second in combinations(parts, 2)
    ]
    return float(np.mean(shares)) if shares else 1.0


def _unfit(method: str, why: str, instead: str) -> BadInputError:
    return BadInputError(f"confirm.resample: {method} does not fit, because {why}; use {instead}")
