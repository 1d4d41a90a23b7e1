"""Parts that a task has prepared for some hyperparameters, shared by the workers of a machine."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tuning.core.trial import Params
from tuning.data.cuts import Cut
from tuning.data.parts import Part
from tuning.data.stored import load_parts, store_parts

# Values of hyperparameters, each in a list, which is empty if a configuration does not have it.
Used = Mapping[str, list[Any]]
# Makes parts, and says which values of which hyperparameters it has read.
Prepare = Callable[[], tuple[dict[str, Part], Used]]

_ENTRY = "entry-*.json"
_WAIT_SECONDS = 3600


class PreparedParts:
    """A folder of prepared parts: an entry per cut and distinct value of what was read.

    Args:
        folder: Folder of the workers of one study on one machine.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(
        self, split: str, cut: Cut | None, params: Params, prepare: Prepare
    ) -> tuple[dict[str, Part], Used]:
        """Returns parts and the values that they depend on; prepares them if nobody has yet.

        Workers that want the same parts at the same time wait for the first of them.

        Args:
            split: Name of the split.
            cut: Cut into training and validation rows; None for the task's own.
            params: Hyperparameters of the trial.
            prepare: Function that prepares the parts.
        """
        key = f"{split} {'' if cut is None else cut.tag()}"
        with self._lock(key, params):
            found = self._find(key, params)
            if found is not None:
                return found
            parts, used = prepare()
            if any(part.dataset is not None for part in parts.values()):
                return parts, used  # it yields batches, which every worker makes itself
            self._write(key, used, store_parts(parts, self._folder / "parts"))
        found = self._find(key, params)
        assert found is not None, "it was written just now"
        return found

    def _entries(self, key: str) -> list[dict[str, Any]]:
        entries = [json.loads(file.read_text("utf-8")) for file in self._folder.glob(_ENTRY)]
        return [entry for entry in entries if entry["key"] == key]

    def _find(self, key: str, params: Params) -> tuple[dict[str, Part], Used] | None:
        for entry in self._entries(key):
            if matches(entry["used"], params):
                return load_parts(self._folder / "parts" / entry["parts"]), entry["used"]
        return None

    def _write(self, key: str, used: Used, parts: Path) -> None:
        text = json.dumps({"key": key, "used": dict(used), "parts": parts.name}, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        temporary = self._folder / f"writing-{name}"
        temporary.write_text(text, "utf-8")
        temporary.replace(self._folder / f"entry-{name}.json")

    @contextmanager
    def _lock(self, key: str, params: Params) -> Iterator[None]:
        """Locks the values that were read before, so that different ones are prepared at once."""
        from filelock import FileLock

        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            name = self._lock_name(key, params)
            with FileLock(self._folder / f"{name}.lock", timeout=_WAIT_SECONDS):
                # While this process waited, another one may have found out what is read.
                if name == self._lock_name(key, params):
                    yield
                    return

    def _lock_name(self, key: str, params: Params) -> str:
        names = sorted({name for entry in self._entries(key) for name in entry["used"]})
        text = json.dumps([key, [[name, value_of(params, name)] for name in names]])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def value_of(params: Params, name: str) -> list[Any]:
    """Returns the value of a hyperparameter in a list; an empty one if it does not exist."""
    return [params[name]] if name in params else []


def matches(used: Used, params: Params) -> bool:
    """Returns whether a configuration has the values that were used."""
    return all(value_of(params, name) == value for name, value in used.items())
