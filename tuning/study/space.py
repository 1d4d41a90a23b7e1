"""The search space: the hyperparameters of a study and their allowed values.

All searchers propose only the values that are declared here.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from tuning.core.trial import Params, ParamValue

GRID_DECIMALS = 10


class _Hyperparameter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    when: dict[str, list[ParamValue]] | None = Field(
        default=None, description="the hyperparameter exists only if others have these values"
    )


class IntRange(_Hyperparameter):
    """Whole numbers from ``low`` to ``high``, in steps or on a logarithmic scale."""

    type: Literal["int"]
    low: int
    high: int
    step: int = Field(default=1, ge=1)
    log: bool = False

    @model_validator(mode="after")
    def _check(self) -> "IntRange":
        _check_range(self.low, self.high, self.step, self.log, stepped=self.step != 1)
        return self

    def grid(self) -> list[ParamValue] | None:
        """Returns all values in ascending order."""
        return list(range(self.low, self.high + 1, self.step))

    def canonical(self, value: object) -> ParamValue:
        """Returns ``value`` with the declared type; raises ValueError if it is not accepted."""
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise ValueError(f"{value!r} is not a whole number")
        number = int(value)
        if not self.low <= number <= self.high or (number - self.low) % self.step:
            raise ValueError(f"{number} is not one of {self.describe()}")
        return number

    def describe(self) -> str:
        """Describes the accepted values in words."""
        step = f" in steps of {self.step}" if self.step != 1 else ""
        return f"whole numbers from {self.low} to {self.high}{step}"


class FloatRange(_Hyperparameter):
    """Numbers from ``low`` to ``high``, continuous or in steps."""

    type: Literal["float"]
    low: float
    high: float
    step: float | None = Field(default=None, gt=0)
    log: bool = False

    @model_validator(mode="after")
    def _check(self) -> "FloatRange":
        _check_range(self.low, self.high, self.step, self.log, stepped=self.step is not None)
        return self

    def grid(self) -> list[ParamValue] | None:
        """Returns all values in ascending order, rounded; None for a continuous range."""
        if self.step is None:
            return None
        count = round((self.high - self.low) / self.step)
        return [round(self.low + i * self.step, GRID_DECIMALS) for i in range(count + 1)]

    def canonical(self, value: object) -> ParamValue:
        """Returns ``value`` with the declared type; raises ValueError if it is not accepted."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{value!r} is not a number")
        number = float(value)
        grid = self.grid()
        if grid is not None:
            matches = [g for g in grid if math.isclose(float(g), number, abs_tol=1e-9)]
            if matches:
                return matches[0]
        elif self.low <= number <= self.high:
            return number
        raise ValueError(f"{number} is not one of {self.describe()}")

    def describe(self) -> str:
        """Describes the accepted values in words."""
        step = f" in steps of {self.step:g}" if self.step else ""
        return f"numbers from {self.low:g} to {self.high:g}{step}"


class Choice(_Hyperparameter):
    """One value of a list; ``ordered`` if the order of the values has a meaning."""

    type: Literal["choice"]
    values: list[ParamValue] = Field(min_length=1)
    ordered: bool = False

    @model_validator(mode="after")
    def _check(self) -> "Choice":
        if len({(type(v), v) for v in self.values}) != len(self.values):
            raise ValueError(f"values repeat in {self.values}; write each value once")
        if len({type(v) for v in self.values}) != 1:
            raise ValueError(f"all values must have one type, got {self.values}")
        return self

    def grid(self) -> list[ParamValue] | None:
        """Returns all values in the declared order."""
        return list(self.values)

    def canonical(self, value: object) -> ParamValue:
        """Returns the declared value; raises ValueError if ``value`` is none of the values."""
        for declared in self.values:
            if value == declared and isinstance(value, bool) == isinstance(declared, bool):
                return declared
        raise ValueError(f"{value!r} is not one of {self.describe()}")

    def describe(self) -> str:
        """Describes the accepted values in words."""
        return ", ".join(map(repr, self.values))


Hyperparameter = Annotated[IntRange | FloatRange | Choice, Field(discriminator="type")]


class SearchSpace(RootModel[dict[str, Hyperparameter]]):
    """The hyperparameters of a study, in order of declaration."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="after")
    def _check(self) -> "SearchSpace":
        if not self.root:
            raise ValueError("a search space needs at least one hyperparameter")
        earlier: set[str] = set()
        for name, hyperparameter in self.root.items():
            if not name.isidentifier():
                raise ValueError(f"{name!r} is not a name: letters, digits and _, no digit first")
            for parent, values in (hyperparameter.when or {}).items():
                if parent not in earlier:
                    raise ValueError(
                        f"{name}.when names {parent!r}, which must be declared before {name}"
                    )
                for value in values:
                    self.root[parent].canonical(value)
            earlier.add(name)
        return self

    def __getitem__(self, name: str) -> IntRange | FloatRange | Choice:
        return self.root[name]

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


def _check_range(low: float, high: float, step: float | None, log: bool, *, stepped: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise ValueError(f"low must be a finite number not above high, got {low} and {high}")
    if log and stepped:
        raise ValueError("log and step exclude each other; remove one of them")
    if log and low <= 0:
        raise ValueError(f"a logarithmic range must start above 0, got {low}")
    if step is not None and stepped:
        steps = (high - low) / step
        if not math.isclose(steps, round(steps), abs_tol=1e-9):
            raise ValueError(f"steps of {step} from {low} do not end at {high}")


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
