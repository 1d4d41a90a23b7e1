"""Hyperparameters of KerasTuner as declarations of a search space."""

from collections.abc import Mapping
from typing import Any

from tuning.core.errors import BadInputError
from tuning.study.ranges import Choice, Float, Int

Declared = Int | Float | Choice


def declare(asked: Any, when: Mapping[str, list[Any]]) -> Declared:
    """Returns the declaration of a hyperparameter of KerasTuner.

    Args:
        asked: Hyperparameter as KerasTuner declares it.
        when: Values of other hyperparameters with which it exists.

    Raises:
        BadInputError: It cannot be searched here.
    """
    kind = type(asked).__name__
    common: dict[str, Any] = {"when": dict(when) or None}
    if kind == "Fixed":
        return Choice([asked.value], default=asked.value, **common)
    if getattr(asked, "sampling", None) == "reverse_log":
        raise BadInputError(
            f"build: {asked.name} has sampling='reverse_log', which is not searched here; use "
            "'log' or 'linear'"
        )
    try:
        common["default"] = asked.default
        if kind == "Boolean":
            return Choice([False, True], **common)
        if kind == "Choice":
            return Choice(list(asked.values), ordered=bool(asked.ordered), **common)
        if asked.sampling == "log" and asked.step:
            return Choice(
                list(_log_steps(asked, int if kind == "Int" else float)), ordered=True, **common
            )
        if kind == "Int":
            return Int(
                asked.min_value,
                int_values(asked)[-1],
                step=_step(asked),
                log=asked.sampling == "log",
                **common,
            )
        high = asked.max_value
        if asked.step:
            high = asked.min_value + asked.step * int((high - asked.min_value) / asked.step + 1e-8)
            high = round(high, 12)
        return Float(asked.min_value, high, step=asked.step, log=asked.sampling == "log", **common)
    except ValueError as error:
        raise BadInputError(f"build: {asked.name}: {_first_reason(error)}") from None


def _first_reason(error: ValueError) -> str:
    details = getattr(error, "errors", None)
    return str(details()[0]["msg"]).removeprefix("Value error, ") if details else str(error)


def _step(asked: Any) -> int:
    return int(asked.step or 1)


def int_values(asked: Any) -> "range | list[int]":
    """Returns the values of a range of whole numbers, in ascending order."""
    if asked.sampling == "log" and asked.step:
        return list(_log_steps(asked, int))
    return range(asked.min_value, asked.max_value + 1, _step(asked))


def _log_steps(asked: Any, kind: type) -> list[Any]:
    values, value = [], asked.min_value
    while value <= asked.max_value * (1 + 1e-12):
        values.append(kind(round(value, 12)))
        value *= asked.step
    return values
