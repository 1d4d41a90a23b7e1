"""Data that are handed to a function: read, split, and stored for the workers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tuning.core.errors import BadInputError
from tuning.data.dependence import checked_rows
from tuning.data.loading import asks_for
from tuning.data.parts import Part, is_dataset, leaves, read_part, rows_of
from tuning.data.splits import split_part

PARTS = ("train", "validation", "test")
_FORMS = (
    "(x, y), (train, test), (train, validation, test), a mapping with these names, or a function "
    "that returns one of them"
)


@dataclass(frozen=True, kw_only=True)
class Split:
    """How examples are split if the data do not say it.

    Attributes:
        validation: Share of validation among all examples.
        test: Share of test among all examples.
        seed: Seed of the choice.
        groups: Group of each example, or by name of the part; None if examples are independent.
        times: Times of the examples, or by name of the part; None if they have no order.
    """

    validation: float = 0.2
    test: float = 0.2
    seed: int = 0
    groups: Any = None
    times: Any = None

    def describe(self) -> str:
        """Describes the split in words."""
        train = round(100 * (1 - self.validation - self.test))
        how = "at random"
        if self.groups is not None:
            how = "by group"
        elif self.times is not None:
            how = "by time"
        return (
            f"split {how} into {train}% train, {round(100 * self.validation)}% validation and "
            f"{round(100 * self.test)}% test (seed {self.seed})"
        )


def is_loader(data: Any) -> bool:
    """Returns whether data are a function with a parameter ``split``, as ``Task.load`` is."""
    return callable(data) and asks_for(data, "split")


def is_called_by_workers(data: Any, parts: Mapping[str, Part]) -> bool:
    """Returns whether data are a function of data sets, which cannot be sent to workers.

    Args:
        data: Data in any form.
        parts: What ``read_data`` has read of them.
    """
    if not callable(data) or is_dataset(data):
        return False
    return any(part.dataset is not None for part in parts.values())


class CalledData:
    """The function ``load`` of a task, made of a function that returns all parts.

    Args:
        function: Function without parameters.
        split: How to split.
    """

    def __init__(self, function: Any, split: Split) -> None:
        self._function = function
        self._split = split

    def __call__(self, split: str) -> dict[str, Any]:
        """Returns the parts of a split."""
        parts, _ = read_data(self._function, self._split, with_test=split == "test")
        names = ("test",) if split == "test" else ("train", "validation")
        return {name: as_loaded(parts[name]) for name in names}


def read_data(data: Any, split: Split, *, with_test: bool = True) -> tuple[dict[str, Part], str]:
    """Reads data in any form, and splits what is not split.

    Args:
        data: Inputs and labels, or parts of them, or a function without parameters that returns
            them.
        split: How to split.
        with_test: Whether a part test is needed.

    Returns:
        The parts train, validation and test by name, and how they were split, in words.

    Raises:
        BadInputError: The data have another form. The message says which are possible.
    """
    if data is None:
        raise BadInputError(f"data: is required: {_FORMS}")
    if callable(data) and not is_dataset(data):
        try:
            data = data()
        except TypeError as error:
            raise BadInputError(
                f"data: a function takes no arguments, or split, or split and params ({error})"
            ) from error
    parts = _with_dependence(_given_parts(data), split)
    if not with_test and {*parts} == {"train", "validation"}:
        return parts, "as given"
    if "test" not in parts and "train" in parts:
        raise BadInputError("data: there is no part test; add it, or pass (x, y)")
    if "train" in parts and "validation" in parts:
        return {name: parts[name] for name in PARTS}, "as given"
    total = sum(rows_of(part.x) for part in parts.values())
    if "train" not in parts:
        shares = {"test": split.test, "validation": split.validation}
        cut = split_part(parts["all"], shares, seed=split.seed)
        return {name: cut[name] for name in PARTS}, split.describe()
    train = parts["train"]
    if train.dataset is not None:
        raise BadInputError("data: a data set cannot be split; pass the part validation too")
    shares = {"validation": min(split.validation * total / rows_of(train.x), 0.5)}
    cut = split_part(train, shares, seed=split.seed)
    parts |= cut
    return {
        name: parts[name] for name in PARTS
    }, f"validation {split.describe().partition(' into')[0]}"


def _given_parts(data: Any) -> dict[str, Part]:
    if isinstance(data, Mapping) and set(data) <= set(PARTS) and data:
        return {name: read_part(name, data[name]) for name in data}
    if not isinstance(data, list | tuple) or len(data) not in (2, 3):
        raise BadInputError(f"data: pass {_FORMS}; got a {type(data).__name__}")
    if len(data) == 3 and all(map(_is_part, data)):
        return {name: read_part(name, each) for name, each in zip(PARTS, data, strict=True)}
    if len(data) == 2 and all(map(_is_part, data)) and not _same_rows(data):
        return {
            name: read_part(name, each) for name, each in zip(("train", "test"), data, strict=True)
        }
    if any(map(is_dataset, data)):
        raise BadInputError("data: of data sets pass (train, validation, test)")
    if (
        len(data) == 2
        and all(map(_is_part, data))
        and all(isinstance(each, tuple) for each in data)
    ):
        raise BadInputError(
            "data: ((a, b), (c, d)) of equal lengths may be inputs and labels, or train and test; "
            "pass {'train': (a, b), 'test': (c, d)}, or ([a, b], [c, d]) for inputs and labels"
        )
    return {"all": read_part("all", tuple(data))}


def _with_dependence(parts: dict[str, Part], split: Split) -> dict[str, Part]:
    """Gives the examples of each part their groups and times."""
    for field in ("groups", "times"):
        given = getattr(split, field)
        if given is None:
            continue
        by_part = given if isinstance(given, Mapping) else {"all": given}
        if {*by_part} != {*parts}:
            raise BadInputError(
                f"{field}: give a mapping with {' and '.join(map(repr, parts))}, as data has them"
                if "all" not in parts
                else f"{field}: give one array for (x, y)"
            )
        for name, values in by_part.items():
            array = checked_rows(field, values, parts[name].examples)
            dependence: dict[str, Any] = {field: array}
            parts[name] = replace(parts[name], **dependence)
    return parts


def _is_part(value: Any) -> bool:
    return is_dataset(value) or (isinstance(value, tuple) and len(value) in (2, 3))


def _same_rows(data: Any) -> bool:
    try:
        return len({len(array) for each in data for array in leaves(each)}) == 1
    except TypeError:
        return False


def as_loaded(part: Part) -> Any:
    """Returns a part in the form in which ``Task.load`` returns it."""
    if part.dataset is not None:
        return part.dataset
    return (part.x, part.y) if part.weights is None else (part.x, part.y, part.weights)
