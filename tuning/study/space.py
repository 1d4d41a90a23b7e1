"""The search space: the hyperparameters of a study and their allowed values.

All searchers propose only the values that are declared here.
"""

import math
from collections.abc import Iterable, Mapping

from pydantic import ConfigDict, RootModel, model_validator

from tuning.core.names import check_hyperparameter
from tuning.core.trial import Params, ParamValue
from tuning.study.ranges import Choice, Float, Hyperparameter, Int

# Names of parameters that the record of a trial has besides its hyperparameters.
RESERVED = ("epochs", "seed")


class SearchSpace(RootModel[dict[str, Hyperparameter]]):
    """The hyperparameters of a study, in order of declaration."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="after")
    def _check(self) -> "SearchSpace":
        if not self.root:
            raise ValueError("a search space needs at least one hyperparameter")
        earlier: set[str] = set()
        for name, hyperparameter in self.root.items():
            for value in getattr(hyperparameter, "values", [None]):
                check_hyperparameter(name, value)
            check_not_reserved(name)
            for parent, values in (hyperparameter.when or {}).items():
                if parent not in earlier:
                    raise ValueError(
                        f"{name}.when names {parent!r}, which must be declared before {name}"
                    )
                for value in values:
                    self.root[parent].canonical(value)
            earlier.add(name)
        return self

    def __getitem__(self, name: str) -> Int | Float | Choice:
        return self.root[name]

    @classmethod
    def empty(cls) -> "SearchSpace":
        """Returns the space of a study whose space is not known yet."""
        return cls.model_construct({})

    @property
    def defaults(self) -> dict[str, ParamValue]:
        """Defaults of the hyperparameters that have one and that exist with these defaults."""
        config: dict[str, ParamValue] = {}
        for name, declared in self.root.items():
            if declared.default is not None and self.is_active(name, config):
                config[name] = declared.default
        return config

    @property
    def names(self) -> list[str]:
        """Names of the hyperparameters in the declared order."""
        return list(self.root)

    def select(self, params: Params) -> dict[str, ParamValue]:
        """Returns the part of ``params`` that belongs to the space, in the declared order."""
        return {name: params[name] for name in self.root if name in params}

    def is_active(self, name: str, params: Params) -> bool:
        """Returns whether ``name`` exists, given the values of the hyperparameters before it."""
        when = self.root[name].when or {}
        return all(
            parent in params and params[parent] in values for parent, values in when.items()
        )

    def canonical(self, params: Mapping[str, object]) -> dict[str, ParamValue]:
        """Checks a configuration and converts it to the declared order and types.

        Args:
            params: Values of all active hyperparameters, and of no others.

        Returns:
            The same configuration in the declared order; every value has its declared type.

        Raises:
            ValueError: The configuration does not fit the space; the message names the
                hyperparameter and the value, and says what is accepted.
        """
        result: dict[str, ParamValue] = {}
        for name, hyperparameter in self.root.items():
            if not self.is_active(name, result):
                if name in params:
                    raise ValueError(f"{name} is set but inactive: it needs {hyperparameter.when}")
                continue
            if name not in params:
                raise ValueError(f"{name} is missing; accepted are {hyperparameter.describe()}")
            try:
                result[name] = hyperparameter.canonical(params[name])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        unknown = sorted(set(params) - set(self.root))
        if unknown:
            raise ValueError(f"{unknown[0]} is not in the search space ({', '.join(self.root)})")
        return result

    def labels(self, params: Params) -> dict[str, bool | int | float | str]:
        """Returns a configuration with the labels of its choices; see ``Choice.labels``."""
        return {
            name: declared.label_of(value)
            if isinstance(declared := self.root[name], Choice)
            else value
            for name, value in params.items()
        }

    def size(self) -> float:
        """Returns the number of configurations; infinity if a hyperparameter is continuous."""
        return _count(list(self.root), self, {})

    def at_boundary(self, params: Params) -> dict[str, str]:
        """Finds the values at an end of their range; better values may lie outside the range.

        Returns:
            ``"lowest"`` or ``"highest"``, by name of the hyperparameter. A lowest value of 0 is
            left out, because a rate or a size cannot be below 0. All choices are left out.
        """
        ends: dict[str, str] = {}
        for name, value in params.items():
            hyperparameter = self.root.get(name)
            if hyperparameter is None or isinstance(hyperparameter, Choice):
                continue
            if value == hyperparameter.high:
                ends[name] = "highest"
            elif value == hyperparameter.low and value != 0:
                ends[name] = "lowest"
        return ends


def check_not_reserved(name: str) -> None:
    """Refuses a name of a hyperparameter that the record of a trial uses itself.

    Raises:
        ValueError: The name is reserved.
    """
    if name in RESERVED:
        cure = {
            "epochs": "budget.epochs is the number of epochs; training.patience ends them early",
            "seed": "seed of the study and confirm.seeds give every trial its seed",
        }[name]
        raise ValueError(f"{name} is not a hyperparameter: {cure}")


def _count(names: list[str], space: SearchSpace, params: dict[str, ParamValue]) -> float:
    if not names:
        return 1
    name, rest = names[0], names[1:]
    if not space.is_active(name, params):
        return _count(rest, space, params)
    grid = space[name].grid()
    if grid is None:
        return math.inf
    if not _is_parent(name, rest, space):
        return len(grid) * _count(rest, space, params)
    return sum(_count(rest, space, {**params, name: value}) for value in grid)


def _is_parent(name: str, others: Iterable[str], space: SearchSpace) -> bool:
    return any(name in (space[other].when or {}) for other in others)
