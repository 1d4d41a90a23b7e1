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
from itertools import pairwise
from typing import Any

from tuning.api.declarations import Declared, declare, int_values
from tuning.core.errors import BadInputError
from tuning.core.trial import ParamValue, config_hash
from tuning.search.random_searcher import draw_unseen
from tuning.study.space import SearchSpace

# Limits of the exploration; a function that needs more has to say its conditions itself.
MAX_CALLS = 100
MAX_SECONDS = 60.0
# Values of one range of whole numbers that are tried if its ends differ; of a longer range, those
# between which something changes are looked for, up to a length.
MAX_VALUES = 33
MAX_RANGE = 1_000
# Configurations by which the space is tried at the end.
TRIED = 5

Call = Callable[[Any], object]


@dataclass(frozen=True)
class RecordedSpace:
    """The hyperparameters of a function.

    Attributes:
        space: Declarations by name, in an order in which parents come first.
        baseline: Defaults of the hyperparameters that the function asks for with them.
        fixed: Values of the fixed hyperparameters.
        is_cut: Whether a limit ended the exploration.
    """

    space: dict[str, Declared]
    baseline: dict[str, ParamValue]
    fixed: dict[str, ParamValue]
    is_cut: bool = False


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
            space[name] = declare(asked, when)
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
    found = RecordedSpace(space, baseline, fixed, explorer.is_cut)
    explorer.try_out(found)
    return found


@dataclass
class _Explorer:
    """Calls a function with one changed value at a time.

    Attributes:
        call: Function of hyperparameters.
        found: First request of every hyperparameter, by name.
        defaults: Values of the first call.
        present: Values of a parent with which a hyperparameter is asked for, by its name and the
            name of the parent.
        requests: Conditions of the scopes in which a hyperparameter is asked for, by its name.
        is_cut: Whether a limit ended the exploration.
    """

    call: Call
    found: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    present: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    requests: dict[str, list[dict[str, list[Any]]]] = field(default_factory=dict)
    is_cut: bool = False

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

    def try_out(self, found: RecordedSpace) -> None:
        """Builds a few configurations of the space, and refuses one that asks for something else.

        Raises:
            BadInputError: The function asks for a hyperparameter that the space does not have.
        """
        space = SearchSpace.model_validate(found.space)
        seen: set[str] = set()
        for number in range(TRIED):
            drawn = draw_unseen(space, 0, number, seen)
            if drawn is None or time.monotonic() - self._began > 2 * MAX_SECONDS:
                return
            seen.add(config_hash(drawn))
            asked = self._ask({**drawn, **found.fixed}, counted=False)
            unknown = set(_active(asked)) - {*drawn, *found.fixed} if asked else set()
            if unknown:
                raise BadInputError(
                    f"build: with {drawn} it asks for {min(unknown)!r}, which it did not ask for "
                    "with the defaults and with other values one at a time; ask for it inside "
                    "hp.conditional_scope(parent, values), or pass space={…}"
                )

    def conditions(self, name: str) -> dict[str, list[Any]]:
        """Returns the values of other hyperparameters with which this one exists.

        One that is asked for in several scopes of a parent exists with the values of all of them;
        of scopes of different parents, no condition can be said.
        """
        first, *others = self.requests[name]
        scopes = {parent: list(values) for parent, values in first.items()}
        for other in others:
            if set(other) != set(first):
                scopes = {}
                break
            for parent, values in other.items():
                scopes[parent] += [value for value in values if value not in scopes[parent]]
        found = {k: v for k, v in self.present.get(name, {}).items() if k not in scopes}
        return {**found, **scopes}

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
        if not probes:
            return new
        is_range = type(parent).__name__ == "Int"
        for value in (probes[0], probes[-1]) if is_range else probes:
            self._try(values, parent.name, value, answers, new)
        differ = any(names != before for names in answers.values())
        if is_range and (differ or any(end not in answers for end in (probes[0], probes[-1]))):
            for value in probes:
                self._try(values, parent.name, value, answers, new)
            if len(int_values(parent)) > MAX_VALUES:
                self._bisect(values, parent, answers, new)
        self._compare(parent, answers)
        return new

    def _compare(self, parent: Any, answers: Mapping[Any, set[str]]) -> None:
        """Notes which hyperparameters are not asked for with all values of their parent."""
        for name in set().union(*answers.values()) - {parent.name}:
            with_it = [value for value in answers if name in answers[value]]
            if len(with_it) == len(answers):
                continue
            if type(parent).__name__ == "Int":
                with_it = _filled(parent, answers, name)
            conditions = self.present.setdefault(name, {})
            conditions.setdefault(parent.name, sorted(with_it, key=_order))

    def _bisect(
        self,
        values: Mapping[str, Any],
        parent: Any,
        answers: dict[Any, set[str]],
        new: "list[tuple[dict[str, Any], Any, list[str]]]",
    ) -> None:
        """Finds the values of a long range between which the hyperparameters change."""
        grid = list(int_values(parent))
        waiting = list(pairwise(sorted(answers)))
        while waiting:
            low, high = waiting.pop()
            left, right = grid.index(low), grid.index(high)
            if answers[low] == answers[high] or right - left < 2:
                continue
            middle = grid[(left + right) // 2]
            self._try(values, parent.name, middle, answers, new)
            if middle in answers:
                waiting += [(low, middle), (middle, high)]

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
            scopes: dict[str, list[Any]] = {}
            for condition in each.conditions:
                values = scopes.get(condition.name, list(condition.values))
                scopes[condition.name] = [v for v in values if v in condition.values]
            requests = self.requests.setdefault(each.name, [])
            requests += [scopes] if scopes not in requests else []
            other = self.found.setdefault(each.name, each)
            if _form(other) != _form(each):
                raise BadInputError(
                    f"build: it asks for {each.name!r} twice, with different values; give them "
                    "different names"
                )

    def _ask(self, values: Mapping[str, Any], *, counted: bool = True) -> Any:
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
        self._calls += counted
        if (counted and self._calls > MAX_CALLS) or time.monotonic() - self._began > MAX_SECONDS:
            self.is_cut = True
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
    values = int_values(parent)
    if len(values) <= MAX_VALUES:
        return list(values)
    if len(values) > MAX_RANGE:
        return []  # a number of units or the like, which decides on no other
    return sorted({values[0], parent.default, values[-1]})


def _filled(parent: Any, answers: Mapping[Any, set[str]], name: str) -> list[Any]:
    """Returns all values of a range with a name, of which only some were tried."""
    tried = sorted(answers)
    return [
        value
        for value in int_values(parent)
        if name in answers[max((each for each in tried if each <= value), default=tried[0])]
    ]


def _order(value: Any) -> Any:
    return (0, value) if isinstance(value, int | float) else (1, str(value))


def _form(asked: Any) -> Any:
    config = asked.get_config()
    return type(asked).__name__, {k: v for k, v in config.items() if k != "conditions"}
