"""The user's code: the imported modules that belong to a study, and their digests."""

import hashlib
import importlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tuning.core.version import FOLDER

_INSTALLED = ("site-packages", "dist-packages")
_OWN = FOLDER


def imported_files(task: str) -> Iterator[Path]:
    """Yields the files of all imported modules below the current folder and the task's project.

    Installed packages, Python itself and the script that was started are left out.

    Args:
        task: Task of the study, as ``module:Class``.
    """
    folders = [Path.cwd(), _root(task)]
    python = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "platstdlib")]
    modules = [module for name, module in [*sys.modules.items()] if name != "__main__"]
    for name in sorted({getattr(module, "__file__", None) or "" for module in modules}):
        file = Path(name)
        is_near = file.suffix == ".py" and any(map(file.is_relative_to, folders))
        is_installed = set(_INSTALLED) & set(file.parts) or any(map(file.is_relative_to, python))
        if is_near and not is_installed and file.exists():
            yield file


def code_digests(task: str, metrics: Iterable[str] = ()) -> dict[str, str]:
    """Returns the digest of every file of a study's code, without this library, by its name.

    Names are relative to the folder of the task's top-level package, so a project may move.

    Args:
        task: Task of the study, as ``module:Class``.
        metrics: Names of the study's metrics; modules of metrics of the user are imported.
    """
    for metric in metrics:
        module, colon, _ = metric.partition(":")
        if colon:
            importlib.import_module(module)
    root = _root(task)
    return {
        Path(os.path.relpath(file, root)).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in imported_files(task)
        if not file.is_relative_to(_OWN)
    }


def _root(task: str) -> Path:
    """Returns the folder from which the task's module is imported."""
    name = task.partition(":")[0]
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or Path(file).is_relative_to(_OWN):
        return Path.cwd()
    return Path(file).parents[name.count(".")]


def changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Returns the names of the files that differ.

    A file that only one of them has imported is no difference: modules may import others only when
    they need them.
    """
    return sorted(name for name in before if name in now and before[name] != now[name])
