"""The user's code: the imported modules that belong to a study, and their digests."""

import hashlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import tuning

_INSTALLED = ("site-packages", "dist-packages")
_OWN = Path(tuning.__file__).parent


def imported_files(task: str) -> Iterator[Path]:
    """Yields the files of all imported modules below the current folder and that of the task.

    Installed packages are left out.

    Args:
        task: Task of the study, as ``module:Class``.
    """
    task_file = getattr(sys.modules.get(task.partition(":")[0]), "__file__", None)
    folders = [Path.cwd(), *([Path(task_file).parent] if task_file else [])]
    modules = list(sys.modules.values())  # others may be imported meanwhile
    for name in sorted({getattr(module, "__file__", None) or "" for module in modules}):
        file = Path(name)
        is_near = file.suffix == ".py" and any(map(file.is_relative_to, folders))
        if is_near and not set(_INSTALLED) & set(file.parts) and file.exists():
            yield file


def code_digests(task: str) -> dict[str, str]:
    """Returns the digest of every file of a study's code, without this library, by its name.

    Names are relative to the folder of the task's package, so a project may move.
    """
    task_file = getattr(sys.modules.get(task.partition(":")[0]), "__file__", None)
    depth = task.partition(":")[0].count(".")
    root = Path(task_file).parents[depth] if task_file else Path.cwd()
    digests = {}
    for file in imported_files(task):
        if not file.is_relative_to(_OWN):
            near = file.is_relative_to(root)
            name = file.relative_to(root).as_posix() if near else file.name
            digests[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return digests


def changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Returns the names of the files that differ.

    A file that only one of them has imported is no difference: modules may import others only when
    they need them.
    """
    return sorted(name for name in before if name in now and before[name] != now[name])
