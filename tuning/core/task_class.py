"""Finds the class of a task by its name, and the arguments of its constructor."""

import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from typing import Any

from tuning.core.errors import BadInputError


def task_arguments(
    task_class: Any, options: Mapping[str, object], dataset: str, cache_dir: str
) -> dict[str, object]:
    """Returns the keyword arguments of a task's constructor, in the driver and in the workers.

    Args:
        task_class: Class of the task.
        options: The study's ``task_options``.
        dataset: Name or path of the data set, as the user has said it; ``auto`` if not said.
        cache_dir: Folder of prepared data.

    Raises:
        BadInputError: The user has named a data set, but the constructor does not ask for one.
    """
    parameters = inspect.signature(task_class).parameters
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    offered = {"dataset": dataset, "cache_dir": cache_dir}
    if dataset != "auto" and "dataset" not in parameters and not takes_all:
        raise BadInputError(
            f"dataset: {task_class.__name__} has no parameter dataset, so {dataset!r} would be "
            "ignored; leave the option out, or add the parameter"
        )
    given = {name: value for name, value in offered.items() if takes_all or name in parameters}
    return {**given, **options}


def import_task(path: str) -> Any:
    """Imports the class that ``package.module:Class`` names.

    Raises:
        BadInputError: The module or the class cannot be imported.
    """
    if os.getcwd() not in sys.path:
        # A script such as ``tuning`` does not search the current folder, unlike ``python -m``.
        sys.path.insert(0, os.getcwd())
    module_name, _, class_name = path.partition(":")
    if module_name == "__main__":
        raise BadInputError(
            f"task: {path!r} stands in a script or a notebook, which workers cannot import; put "
            "the class into a file and name that"
        )
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise BadInputError(
            f"task: {path!r} cannot be imported ({error}); "
            "write it as package.module:Class; the current folder must be able to import it"
        ) from error
