"""Loads the parts of a task's data, once per distinct value of the hyperparameters they use."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuning.core.errors import BadInputError
from tuning.core.task import HasGroups, HasTimes, Split, Task
from tuning.core.trial import Params
from tuning.data.cuts import Cut
from tuning.data.dependence import Dependence, checked_rows, spans_of
from tuning.data.parts import Part, classes_of, is_array, join, read_part
from tuning.data.prepared import PreparedParts, Used, matches, value_of
from tuning.data.splits import Indexes

PARTS: Mapping[Split, tuple[str, ...]] = {"search": ("train", "validation"), "test": ("test",)}


@dataclass(frozen=True)
class _Kept:
    """Parts that were loaded, with the cut and the hyperparameters for which they hold."""

    cut: Cut | None
    used: Used
    parts: dict[str, Part]

    def holds_for(self, cut: Cut | None, params: Params) -> bool:
        """Returns whether the parts are those of a cut and of hyperparameters."""
        return self.cut == cut and matches(self.used, params)


class Loader:
    """Loads splits of a task and keeps the last one of each split.

    Args:
        task: Task whose data are prepared.
        classes: Names of the classes of text labels; empty to take them from the training part.
        folder: Folder in which the processes of a machine share data that depend on
            hyperparameters; None to share nothing.

    Attributes:
        takes_params: Whether the data depend on hyperparameters.
        classes: Names of the classes; empty before the training part is loaded, or without names.
    """

    def __init__(
        self, task: Task, classes: Sequence[str] = (), folder: Path | None = None
    ) -> None:
        load = getattr(task, "load", None)  # a task that trains itself has none
        self.takes_params = asks_for(load, "params")
        self.classes = tuple(classes)
        self._task = task
        self._takes_cut = asks_for(load, "cut")
        self._shared = PreparedParts(folder) if folder and self.takes_params else None
        self._kept: dict[tuple[Split, bool], _Kept] = {}

    def load(self, split: Split, params: Params, cut: Cut | None = None) -> dict[str, Part]:
        """Returns the parts of a split by name.

        Args:
            split: ``search`` or ``test``.
            params: Hyperparameters of the trial. Only those that the task reads tell whether a
                split that is kept can be used again.
            cut: Cut into the parts train and validation; None for the task's own. A task whose
                ``load`` takes ``cut`` cuts by itself; otherwise the rows of both parts are cut.

        Raises:
            BadInputError: A part is missing, or it is not in a form that can be used.
        """
        if split == "test" and not self._takes_cut:
            cut = None  # the test rows are the same for all cuts
        key = split, cut is not None
        kept = self._kept.get(key)
        if kept is not None and kept.holds_for(cut, params):
            return kept.parts
        self._kept.pop(key, None)  # the memory is needed for the next one

        def prepare() -> tuple[dict[str, Part], Used]:
            reads = _Reads(params)
            if cut is not None and not self._takes_cut:
                return self._cut(cut, reads), reads.used
            return self._read(split, self._load(split, reads, cut)), reads.used

        if self._shared is None or (cut is not None and not self._takes_cut):
            parts, used = prepare()
        else:
            parts, used = self._shared.get(split, cut, params, prepare)
        self._kept[key] = _Kept(cut, used, parts)
        return parts

    def dependence(self, params: Params, *parts: str) -> Dependence:
        """Returns what the task says about the rows of some parts, in their order.

        Raises:
            BadInputError: Not every part has such values, or one has the wrong number.
        """
        times = self._of_rows(HasTimes, "times", params, parts)
        groups = self._of_rows(HasGroups, "groups", params, parts)
        if times is not None and groups is not None:
            raise BadInputError(
                "task: rows have times and groups; give it times alone, because all rows of one "
                "time are taken together"
            )
        return Dependence(times=None if times is None else spans_of(times), groups=groups)

    def rows(self, cut: Cut, params: Params) -> tuple[Indexes, Indexes]:
        """Returns which rows a cut trains on and validates on.

        Positions are those in the parts train and validation, one after the other.

        Raises:
            BadInputError: The method of the cut does not fit the rows.
        """
        parts = self.load("search", params)
        sizes = [part.examples for part in (parts["train"], parts["validation"])]
        if None in sizes:
            raise BadInputError(
                "confirm.resample: how many rows a data set has is not known, so they cannot be "
                "cut anew; return arrays"
            )
        count = sum(size or 0 for size in sizes)
        labels = [part.y for part in parts.values()]
        known = self.dependence(params, "train", "validation")
        return cut.rows(
            count,
            (sizes[1] or 0) / count,
            labels=np.concatenate(labels) if all(map(is_array, labels)) else None,
            times=known.times,
            groups=known.groups,
        )

    def _load(self, split: Split, params: Params, cut: Cut | None) -> Any:
        options: dict[str, Any] = {"params": params} if self.takes_params else {}
        return self._task.load(split, **options, **({"cut": cut} if cut is not None else {}))

    def _cut(self, cut: Cut, params: Params) -> dict[str, Part]:
        """Cuts the rows of train and validation anew."""
        parts = self.load("search", params)
        both = join("search", parts["train"], parts["validation"])
        rows = self.rows(cut, params)
        return {name: both.chosen(name, each) for name, each in zip(parts, rows, strict=True)}

    def _of_rows(
        self, protocol: Any, method: str, params: Params, parts: Sequence[str]
    ) -> "np.ndarray | None":
        if not isinstance(self._task, protocol):
            return None
        function = getattr(self._task, method)
        values = [function(part, **asked(function, params=params)) for part in parts]
        if all(each is None for each in values):
            return None
        splits: set[Split] = {"test" if part == "test" else "search" for part in parts}
        loaded = {name: part for each in splits for name, part in self.load(each, params).items()}
        arrays = []
        for part, each in zip(parts, values, strict=True):
            if each is None:
                raise BadInputError(f"task: {method}({part!r}) returns None, and others do not")
            try:
                arrays.append(checked_rows(method, each, loaded[part].examples))
            except BadInputError as error:
                raise BadInputError(f"task: {method}({part!r}): {error}") from None
        return np.concatenate(arrays)

    def forget(self) -> None:
        """Frees the data that are kept; they are loaded again when they are needed."""
        self._kept.clear()

    def _read(self, split: Split, loaded: Any) -> dict[str, Part]:
        if not isinstance(loaded, Mapping):
            raise BadInputError(
                f"task: load({split!r}) must return a mapping with "
                f"{' and '.join(map(repr, PARTS[split]))}; got a {type(loaded).__name__}"
            )
        parts = {}
        for name in PARTS[split]:
            if name not in loaded:
                raise BadInputError(
                    f"task: load({split!r}) returns no part {name!r}, only "
                    f"{', '.join(map(repr, loaded)) or 'an empty mapping'}; add the part"
                )
            parts[name] = read_part(name, loaded[name])
        if "train" in parts and not self.classes:
            self.classes = classes_of(parts["train"])
        return {name: part.encoded(self.classes) for name, part in parts.items()}


def asks_for(function: Callable[..., Any] | None, name: str) -> bool:
    """Returns whether a function has a parameter of a name."""
    return function is not None and name in inspect.signature(function).parameters


def asked(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Returns those of the options for which a function has a parameter."""
    return {name: value for name, value in options.items() if asks_for(function, name)}


class _Reads(Mapping[str, Any]):
    """Hyperparameters that remember which of them were read."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self.used: dict[str, list[Any]] = {}

    def __getitem__(self, name: str) -> Any:
        self.used[name] = value_of(self._params, name)
        return self._params[name]

    def __iter__(self) -> Iterator[str]:
        for name in self._params:
            self[name]
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)
