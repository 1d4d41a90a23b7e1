"""Loads the parts of a task's data, once per distinct value of the hyperparameters they use."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tuning.core.errors import BadInputError
from tuning.core.task import Split, Task
from tuning.core.trial import Params
from tuning.data.parts import Part, classes_of, read_part

_MISSING = object()  # stands for a hyperparameter that a configuration does not have

PARTS: Mapping[Split, tuple[str, ...]] = {"search": ("train", "validation"), "test": ("test",)}


class Loader:
    """Loads splits of a task and keeps the last one of each split.

    Args:
        task: Task whose data are prepared.
        classes: Names of the classes of text labels; empty to take them from the training part.

    Attributes:
        takes_params: Whether the data depend on hyperparameters.
        classes: Names of the classes; empty before the training part is loaded, or without names.
    """

    def __init__(self, task: Task, classes: Sequence[str] = ()) -> None:
        load = getattr(task, "load", None)  # a task that trains itself has none
        self.takes_params = load is not None and "params" in inspect.signature(load).parameters
        self.classes = tuple(classes)
        self._task = task
        self._kept: dict[Split, tuple[dict[str, Any], dict[str, Part]]] = {}

    def load(self, split: Split, params: Params) -> dict[str, Part]:
        """Returns the parts of a split by name.

        Args:
            split: ``search`` or ``test``.
            params: Hyperparameters of the trial. Only those that the task reads tell whether a
                split that is kept can be used again.

        Raises:
            BadInputError: A part is missing, or it is not in a form that can be used.
        """
        if split in self._kept:
            used, parts = self._kept[split]
            if all(params.get(name, _MISSING) == value for name, value in used.items()):
                return parts
        self._kept.pop(split, None)  # the memory is needed for the next one
        reads = _Reads(params)
        options = {"params": reads} if self.takes_params else {}
        loaded = self._task.load(split, **options)
        parts = self._read(split, loaded)
        self._kept[split] = reads.used, parts
        return parts

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


class _Reads(Mapping[str, Any]):
    """Hyperparameters that remember which of them were read."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self.used: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        self.used[name] = self._params.get(name, _MISSING)
        return self._params[name]

    def __iter__(self) -> Iterator[str]:
        for name in self._params:
            self[name]
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)
