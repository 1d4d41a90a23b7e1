"""The kinds of hyperparameters: whole numbers, numbers and choices, and their values."""

import math
from collections.abc import Sequence
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tuning.core.trial import ParamValue

# Types of values that the libraries take as they are.
_SCALARS = (bool, int, float, str)


class _Hyperparameter(BaseModel):
    """What all kinds share.

    Attributes:
        when: Values that other hyperparameters must have for this one to exist, by their names.
        default: Value in the baseline if the baseline does not name this hyperparameter; None for
            no default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    when: dict[str, list[ParamValue]] | None = None
    default: ParamValue = None

    def canonical(self, value: object) -> ParamValue:
        """Returns ``value`` with the declared type; raises ValueError if it is not accepted."""
        raise NotImplementedError

    def _check_default(self) -> None:
        if self.default is None:
            return
        try:
            object.__setattr__(self, "default", self.canonical(self.default))
        except ValueError as error:
            raise ValueError(f"default: {error}") from None


class Int(_Hyperparameter):
    """Whole numbers from ``low`` to ``high``, in steps or on a logarithmic scale.

    In Python, for example ``Int(16, 128, step=16, default=32)``.

    Attributes:
        low: Smallest value.
        high: Largest value.
        step: Distance of two values; 1 on a logarithmic scale.
        log: Whether values are drawn on a logarithmic scale.
        when: Values that other hyperparameters must have for this one to exist, by their names.
        default: Value in the baseline if the baseline does not name it.
    """

    type: Literal["int"] = "int"
    low: int
    high: int
    step: int = Field(default=1, ge=1)
    log: bool = False

    def __init__(self, *bounds: int, **fields: Any) -> None:
        super().__init__(**_named(("low", "high"), bounds), **fields)

    @model_validator(mode="after")
    def _check(self) -> "Int":
        _check_range(self.low, self.high, self.log, stepped=self.step != 1)
        if (self.high - self.low) % self.step:
            raise ValueError(f"steps of {self.step} from {self.low} do not end at {self.high}")
        self._check_default()
        return self

    def grid(self) -> Sequence[ParamValue] | None:
        """Returns all values in ascending order, without listing them."""
        return range(self.low, self.high + 1, self.step)

    def canonical(self, value: object) -> ParamValue:
        """Returns ``value`` with the declared type; raises ValueError if it is not accepted."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{value!r} is not a whole number")
        if not math.isfinite(value) or value != int(value):
            raise ValueError(f"{value!r} is not a whole number")
        number = int(value)
        if not self.low <= number <= self.high or (number - self.low) % self.step:
            raise ValueError(f"{number} is not one of {self.describe()}")
        return number

    def describe(self) -> str:
        """Describes the accepted values in words."""
        step = f" in steps of {self.step}" if self.step != 1 else ""
        return f"whole numbers from {self.low} to {self.high}{step}"


class Float(_Hyperparameter):
    """Numbers from ``low`` to ``high``, continuous or in steps.

    In Python, for example ``Float(1e-4, 1e-2, log=True, default=1e-3)``.

    Attributes:
        low: Smallest value.
        high: Largest value.
        step: Distance of two values; None for a continuous range.
        log: Whether values are drawn on a logarithmic scale.
        when: Values that other hyperparameters must have for this one to exist, by their names.
        default: Value in the baseline if the baseline does not name it.
    """

    type: Literal["float"] = "float"
    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    step: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    log: bool = False

    def __init__(self, *bounds: float, **fields: Any) -> None:
        super().__init__(**_named(("low", "high"), bounds), **fields)

    @model_validator(mode="after")
    def _check(self) -> "Float":
        _check_range(self.low, self.high, self.log, stepped=self.step is not None)
        if self.step is not None:
            steps = (self.high - self.low) / self.step
            if not math.isclose(steps, round(steps), rel_tol=1e-9, abs_tol=1e-6):
                raise ValueError(f"steps of {self.step} from {self.low} do not end at {self.high}")
        self._check_default()
        return self

    @cached_property
    def _steps(self) -> "Steps | None":
        return None if self.step is None else Steps(self.low, self.high, self.step)

    def grid(self) -> Sequence[ParamValue] | None:
        """Returns all values in ascending order, without listing them; None if continuous."""
        return self._steps

    def canonical(self, value: object) -> ParamValue:
        """Returns ``value`` with the declared type; raises ValueError if it is not accepted."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{value!r} is not a number")
        number = float(value)
        if self.step is None:
            if self.low <= number <= self.high:
                return number
        elif math.isfinite(number):
            near = self.nearest(number)
            if abs(near - number) <= 1e-6 * self.step:
                return near
        raise ValueError(f"{number} is not one of {self.describe()}")

    def nearest(self, number: float) -> float:
        """Returns the declared value that is nearest to a number."""
        if self._steps is None:
            return min(max(number, self.low), self.high)
        index = round((number - self.low) / self._steps.step)
        return float(self._steps[min(max(index, 0), len(self._steps) - 1)])

    def describe(self) -> str:
        """Describes the accepted values in words."""
        step = f" in steps of {self.step:g}" if self.step else ""
        return f"numbers from {self.low:g} to {self.high:g}{step}"


class Steps(Sequence[float]):
    """The values of a range in steps, each computed exactly in decimals when it is asked for."""

    def __init__(self, low: float, high: float, step: float) -> None:
        self.step = step
        self._low, self._step = Decimal(str(low)), Decimal(str(step))
        self._count = round((Decimal(str(high)) - self._low) / self._step) + 1

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return float(self._low + (index % self._count) * self._step)

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Returns the position of a value."""
        return round(float((Decimal(str(value)) - self._low) / self._step))


class Choice(_Hyperparameter):
    """One value of a list; ``ordered`` if the order of the values has a meaning.

    In Python, for example ``Choice(["lstm", "gru"], default="gru")``.

    Attributes:
        values: The values: numbers, texts, truth values, null, or lists of them.
        ordered: Whether the order of the values has a meaning.
        when: Values that other hyperparameters must have for this one to exist, by their names.
        default: Value in the baseline if the baseline does not name it.
    """

    type: Literal["choice"] = "choice"
    values: list[ParamValue] = Field(min_length=1)
    ordered: bool = False

    def __init__(self, *values: list[ParamValue], **fields: Any) -> None:
        super().__init__(**_named(("values",), values), **fields)

    @model_validator(mode="after")
    def _check(self) -> "Choice":
        for value in self.values:
            _check_plain(value)
        if all(type(value) in (int, float) for value in self.values):
            kinds = {type(value) for value in self.values}
            if len(kinds) > 1:  # 0 beside 0.1 is a number like it
                numbers = [float(value) for value in self.values]  # type: ignore[arg-type]
                object.__setattr__(self, "values", numbers)
        texts = [str(value) for value in self.values]
        repeated = next((text for text in texts if texts.count(text) > 1), None)
        if repeated is not None:
            raise ValueError(f"values repeat in {self.values}; write {repeated} once")
        self._check_default()
        return self

    def grid(self) -> Sequence[ParamValue] | None:
        """Returns all values in the declared order."""
        return list(self.values)

    @cached_property
    def labels(self) -> list[bool | int | float | str]:
        """Values for libraries that know scalars of one type only; otherwise texts of them."""
        is_simple = len({type(value) for value in self.values}) == 1
        if is_simple and isinstance(self.values[0], _SCALARS):
            return list(self.values)  # type: ignore[arg-type]
        return [str(value) for value in self.values]

    def label_of(self, value: object) -> bool | int | float | str:
        """Returns the label of a declared value."""
        return self.labels[self.values.index(self.canonical(value))]

    def value_of(self, label: object) -> ParamValue:
        """Returns the value with this label."""
        return self.values[self.labels.index(label)]  # type: ignore[arg-type]

    def canonical(self, value: object) -> ParamValue:
        """Returns the declared value; raises ValueError if ``value`` is none of the values."""
        for declared in self.values:
            if value == declared and isinstance(value, bool) == isinstance(declared, bool):
                return declared
        raise ValueError(f"{value!r} is not one of {self.describe()}")

    def describe(self) -> str:
        """Describes the accepted values in words."""
        return ", ".join(map(repr, self.values))


Hyperparameter = Annotated[Int | Float | Choice, Field(discriminator="type")]


def _named(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    if len(values) > len(names):
        raise TypeError(f"at most {len(names)} values without a name; got {len(values)}")
    return dict(zip(names, values, strict=False))


def _check_range(low: float, high: float, log: bool, *, stepped: bool) -> None:
    if low > high:
        raise ValueError(f"low must be a number not above high, got {low} and {high}")
    if log and stepped:
        raise ValueError("log and step exclude each other; remove one of them")
    if log and low <= 0:
        raise ValueError(f"a logarithmic range must start above 0, got {low}")


def _check_plain(value: object) -> None:
    """Refuses a value that is not made of numbers, texts, booleans, null and lists of them."""
    if isinstance(value, list):
        for each in value:
            _check_plain(each)
    elif value is not None and not isinstance(value, _SCALARS):
        raise ValueError(
            f"{value!r} is not a plain value: a number, a text, true, false, null or a list"
        )
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
