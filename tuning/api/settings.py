"""The keywords of ``tuning.tune`` as a study."""

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tuning.core.errors import BadInputError
from tuning.metrics.catalogue import METRICS, make_metric
from tuning.metrics.metric import Direction, Metric
from tuning.study.file import Study, parse_study
from tuning.study.sections import direction_of

# Keywords that are short for a field of a section.
SHORT: Mapping[str, tuple[str, str]] = {
    "metric": ("compare", "metric"),
    "direction": ("compare", "direction"),
    "additional_metrics": ("compare", "additional_metrics"),
    "min_gain": ("compare", "min_gain"),
    "confidence": ("compare", "confidence"),
    "trials": ("budget", "trials"),
    "epochs": ("budget", "epochs"),
    "timeout": ("budget", "timeout"),
    "seeds": ("confirm", "seeds"),
    "top_k": ("confirm", "top_k"),
    "ablation": ("confirm", "ablation"),
    "batch_size": ("training", "batch_size"),
    "patience": ("training", "patience"),
    "class_weight": ("training", "class_weight"),
}
_TRAINING = ("batch_size", "patience")


def settings_of(study: Study | None, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a study: those of ``study``, changed by keywords.

    Args:
        study: Study with some of its fields, or None.
        keywords: Fields of a study, or the short names in ``SHORT``; None stands for not given.

    Raises:
        BadInputError: There is no such keyword.
    """
    fields: dict[str, Any] = study.model_dump(exclude_unset=True) if study else {}
    for name, value in keywords.items():
        if value is None:
            continue
        if name in SHORT:
            section, field = SHORT[name]
            fields[section] = {**fields.get(section, {}), field: _plain(value)}
        elif name not in Study.model_fields or name in ("task", "task_options"):
            raise BadInputError(
                f"tune: there is no keyword {name!r}; there are {', '.join(sorted(SHORT))}, and "
                f"the fields of a study: {', '.join(Study.model_fields)}"
            )
        elif name == "searchers":
            fields[name] = as_list(value)  # perhaps objects
        elif isinstance(value, Mapping) and isinstance(fields.get(name), Mapping):
            fields[name] = {**fields[name], **{key: _plain(each) for key, each in value.items()}}
        else:
            fields[name] = _plain(value)
    return fields


def _plain(value: Any) -> Any:
    """Returns sections and declarations as the mappings that a study file would have."""
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_unset=True)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    item = getattr(value, "item", None)  # a number of NumPy
    return item() if callable(item) and getattr(value, "shape", None) == () else value


def complete_study(
    fields: Mapping[str, Any],
    *,
    task: str,
    space: Mapping[str, Any],
    baseline: Mapping[str, Any],
    fixed: Mapping[str, Any],
    metric: Any,
    task_options: Mapping[str, Any],
) -> Study:
    """Returns the whole study.

    Args:
        fields: Fields that the user has given.
        task: Class of the task, as ``module:Class``.
        space: Search space by name of the hyperparameter.
        baseline: Defaults of the space, which the user's baseline may change.
        fixed: Hyperparameters with one value.
        metric: Function of the user that is the metric; None for a metric by name.
        task_options: Arguments of the task's constructor that belong into the record.

    Raises:
        BadInputError: A field is wrong or missing; the message names it.
    """
    study = dict(fields)
    study |= {"task": task, "task_options": dict(task_options)}
    study["space"] = {
        name: _with_type(each) if isinstance(each, BaseModel) else each
        for name, each in space.items()
    }
    given = study.get("baseline", {})
    # The user's values may activate other hyperparameters than the defaults do.
    study["baseline"] = {**({} if given else baseline), **given}
    study["fixed"] = {**fixed, **study.get("fixed", {})}
    deciding = metric_of(study, metric)
    study["compare"] = {**study.get("compare", {}), "metric": deciding.name}
    objective = study.get("objective", {})
    study["objective"] = {"metric": objective} if isinstance(objective, str) else objective
    study["objective"].setdefault("metric", "val_loss")
    training = dict(study.get("training", {}))
    for name in _TRAINING:
        if name in study["space"] or name in study["fixed"]:
            training.setdefault(name, name)
    study["training"] = training
    missing = [name for name in study["space"] if not _has_value(name, study)]
    if missing:
        raise BadInputError(
            f"baseline: {missing[0]} has no default; pass default= in its declaration, or "
            f"baseline={{{missing[0]!r}: …}}"
        )
    return parse_study(study, "tune")


def _with_type(declared: BaseModel) -> dict[str, Any]:
    # The type is a default of the class, which ``exclude_unset`` leaves out.
    return {"type": declared.type, **declared.model_dump(exclude_unset=True)}  # type: ignore[attr-defined]


def _has_value(name: str, study: Mapping[str, Any]) -> bool:
    declared = study["space"][name]
    if name in study["baseline"] or not isinstance(declared, Mapping):
        return True
    return declared.get("default") is not None or bool(declared.get("when"))


def metric_of(fields: Mapping[str, Any], function: Callable[..., Any] | None) -> Metric:
    """Returns the metric that decides.

    Raises:
        BadInputError: There is no such metric, or none is given.
    """
    compare = fields.get("compare", {})
    text = compare.get("metric") if function is None else name_of(function)
    if not text:
        raise BadInputError(f"metric: is required, such as {', '.join(METRICS)}, or a function")
    try:
        return make_metric(text, compare.get("direction"))
    except ValueError as error:
        raise BadInputError(f"metric: {error}") from None


def direction_for(objective: str, direction: Direction) -> dict[str, Direction]:
    """Returns the direction of an objective, if its name does not tell it."""
    return {} if direction_of(objective) is not None else {"direction": direction}


def name_of(function: Callable[..., Any]) -> str:
    """Returns the name by which a function can be found in this process, as ``module:function``.

    Raises:
        BadInputError: It is no function at the top level of a module, a script or a notebook.
    """
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    if not name.isidentifier() or getattr(sys.modules.get(module), name, None) is not function:
        raise BadInputError(
            f"metric: {name or function!r} must be a function that is defined at the top level "
            "of a module, a script or a notebook, because the report calls it by its name"
        )
    return f"{module}:{name}"


def default_name(function: Any) -> str:
    """Returns a name for a study: that of the file in which a function is defined."""
    try:
        file = inspect.getsourcefile(function if inspect.isfunction(function) else type(function))
    except TypeError:
        file = None
    stem = Path(file).stem if file and Path(file).exists() else "study"
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-._")
    return name if name and not re.fullmatch(r"\d+", name) else "study"


def as_list(value: Any) -> list[Any]:
    """Returns a list of one or several values."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return [value]
    return list(value)
