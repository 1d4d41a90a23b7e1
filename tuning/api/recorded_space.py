"""Finds the search space of a function in KerasTuner's way, by calling it.

A function ``build(hp)`` asks for its hyperparameters while it runs. Which it asks for may depend
on the values of others, so it is called again with other values: every choice, and the ends of
every range of whole numbers. A hyperparameter that is not asked for with some value is
conditional.
"""

import contextlib
import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tuning.core.errors import BadInputError
from tuning.core.trial import ParamValue
from tuning.study.ranges import Choice, Float, Int

# Limits of the exploration; a function that needs more has to say its conditions itself.
MAX_CALLS = 100
MAX_SECONDS = 60.0
# Values of one range of whole numbers that are tried if its ends differ.
MAX_VALUES = 33

Call = Callable[[Any], object]
Declared = Int | Float | Choice


@dataclass(frozen=True)
class RecordedSpace:
    """The hyperparameters of a function.

    Attributes:
        space: Declarations by name, in an order in which parents come first.
        baseline: Defaults of the hyperparameters that the function asks for with them.
        fixed: Values of the fixed hyperparameters.
    """

    space: dict[str, Declared]
    baseline: dict[str, ParamValue]
    fixed: dict[str, ParamValue]


def record_space(call: Call) -> RecordedSpace:
    """Calls a function of ``keras_tuner.HyperParameters`` until its space is known.

    Raises:
        BadInputError: The function fails with its defaults, asks for no hyperparameter, or asks
            for one that cannot be searched.
    """
    explorer = _Explorer(call)
    explorer.explore()
    fixed: dict[str, ParamValue] = {}
    space: dict[str, Declared] = {}
    for name, asked in explorer.found.items():
        when = explorer.conditions(name)
        if type(asked).__name__ == "Fixed" and not when:
            fixed[name] = asked.value
        else:
            space[name] = _declare(asked, when)
    if not space:
        raise BadInputError(
            "build: it asks for no hyperparameter; call hp.Int, hp.Float, hp.Choice or hp.Boolean "
            "in it, or pass space={…} and a build(params)"
        )
    baseline = {
        name: space[name].canonical(explorer.defaults[name])
        for name in space
        if name in explorer.defaults
    }
    return RecordedSpace(space, baseline, fixed)


@dataclass
class _Explorer:
    """Calls a function with one changed value at a time.

    Attributes:
        call: Function of hyperparameters.
        found: First request of every hyperparameter, by name.
        defaults: Values of the first call.
        present: Values of a parent with which a hyperparameter is asked for, by its name and the
            name of the parent.
    """

    call: Call
    found: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    present: dict[str, dict[str, list[Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._calls = 0
        self._began = time.monotonic()

    def explore(self) -> None:
        first = self._ask({})
        assert first is not None, "the first call raises instead"
        self.defaults = dict(first.values)
        self._note(first)
        waiting: list[tuple[dict[str, Any], Any, list[str]]] = [({}, first, _active(first))]
        while waiting:
            values, base, parents = waiting.pop(0)
            for parent in parents:
                waiting += self._vary(values, base, self.found[parent])

    def conditions(self, name: str) -> dict[str, list[Any]]:
        """Returns the values of other hyperparameters with which this one exists."""
        declared: dict[str, list[Any]] = {}
        for condition in self.found[name].conditions:
            values = declared.get(condition.name, list(condition.values))
            declared[condition.name] = [value for value in values if value in condition.values]
        return {**self.present.get(name, {}), **declared}

    def _vary(
        self, values: Mapping[str, Any], base: Any, parent: Any
    ) -> "list[tuple[dict[str, Any], Any, list[str]]]":
        """Calls the function with other values of one hyperparameter.

        Returns:
            The calls that asked for new hyperparameters, with the names of these.
        """
        now, before = base.values[parent.name], set(_active(base))
        answers = {now: before}
        new: list[tuple[dict[str, Any], Any, list[str]]] = []
        probes = _probes(parent)
        ends = [value for value in (probes[0], probes[-1]) if value != now] if probes else []
        for value in ends if isinstance(parent.default, int) else probes:
            self._try(values, parent.name, value, answers, new)
        if any(names != before for names in answers.values()):
            for value in probes:
                self._try(values, parent.name, value, answers, new)
            for name in set().union(*answers.values()) - {parent.name}:
                with_it = [
                    value for value in sorted(answers, key=_order) if name in answers[value]
                ]
                if len(with_it) < len(answers):
                    self.present.setdefault(name, {}).setdefault(parent.name, with_it)
        return new

    def _try(
        self,
        values: Mapping[str, Any],
        name: str,
        value: Any,
        answers: dict[Any, set[str]],
        new: "list[tuple[dict[str, Any], Any, list[str]]]",
    ) -> None:
        if value in answers:
            return
        changed = {**values, name: value}
        asked = self._ask(changed)
        if asked is None:
            return
        names = _active(asked)
        answers[value] = set(names)
        fresh = [each for each in names if each not in self.found]
        self._note(asked)
        if fresh:
            new.append((changed, asked, fresh))

    def _note(self, asked: Any) -> None:
        for each in asked.space:
            other = self.found.setdefault(each.name, each)
            if _form(other) != _form(each):
                raise BadInputError(
                    f"build: it asks for {each.name!r} twice, with different values; give them "
                    "different names"
                )

    def _ask(self, values: Mapping[str, Any]) -> Any:
        import keras_tuner

        asked = keras_tuner.HyperParameters()
        asked.values = dict(values)
        if not values:
            try:
                self.call(asked)
            except BadInputError:
                raise
            except Exception as error:
                raise BadInputError(
                    f"build: it fails with the defaults of its hyperparameters: "
                    f"{type(error).__name__}: {error}"
                ) from error
            return asked
        self._calls += 1
        if self._calls > MAX_CALLS or time.monotonic() - self._began > MAX_SECONDS:
            return None
        # What it prints was seen in the first call; a combination that fails tells nothing here.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            self.call(asked)
            return asked
        return None


def _active(asked: Any) -> list[str]:
    return [each.name for each in asked.space if asked.is_active(each)]


def _probes(parent: Any) -> list[Any]:
    """Returns the values of a hyperparameter that may lead to others; none of real numbers."""
    kind = type(parent).__name__
    if kind == "Choice":
        return list(parent.values)
    if kind == "Boolean":
        return [False, True]
    if kind != "Int":
        return []
    values = list(_int_values(parent))
    if len(values) <= MAX_VALUES:
        return values
    return [values[0], parent.default, values[-1]]


def _order(value: Any) -> Any:
    return (0, value) if isinstance(value, int | float) else (1, str(value))


def _form(asked: Any) -> Any:
    config = asked.get_config()
    return type(asked).__name__, {k: v for k, v in config.items() if k != "conditions"}


def _declare(asked: Any, when: Mapping[str, list[Any]]) -> Declared:
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
                _int_values(asked)[-1],
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


def _int_values(asked: Any) -> "range | list[int]":
    if asked.sampling == "log" and asked.step:
        return list(_log_steps(asked, int))
    return range(asked.min_value, asked.max_value + 1, _step(asked))


def _log_steps(asked: Any, kind: type) -> list[Any]:
    values, value = [], asked.min_value
    while value <= asked.max_value * (1 + 1e-12):
        values.append(kind(round(value, 12)))
        value *= asked.step
    return values
