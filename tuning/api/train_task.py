"""A task that is one function which trains, of any framework."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tuning.api.travel import code_of, offer, unpack
from tuning.core.errors import BadInputError
from tuning.core.trial import Params

# The class, as a study names it.
TRAIN_TASK = "tuning.api.train_task:TrainTask"


class TrainTask:
    """A task whose ``train`` is a function from a file of ``tuning.api.travel.pack``.

    Args:
        functions: File of the function.
        name: Name of the data.
    """

    def __init__(self, functions: str | Path = "", name: str = "") -> None:
        if not functions:
            raise BadInputError(
                "task: this study is made of a function in Python code; go on with it there, by "
                "tuning.tune(train=…, resume=…)"
            )
        self.name = name or "data"
        self._functions = unpack(Path(functions))
        offer(self._functions)

    def train(self, params: Params, seed: int, report: Callable[..., None]) -> Mapping[str, Any]:
        """Calls the function with those of its parameters that it has."""
        function = self._functions["train"]
        absent = self._functions.get("absent") or None
        given = {k: v for k, v in params.items() if absent is None or v != absent}
        arguments = (given, seed, report)
        returned: Mapping[str, Any] = function(*arguments[: _positional(function)])
        return returned

    def times(self, part: str) -> Any:
        """Returns the times of the test rows; None if they have none."""
        return self._functions.get("times") if part == "test" else None

    def groups(self, part: str) -> Any:
        """Returns the groups of the test rows; None if they have none."""
        return self._functions.get("groups") if part == "test" else None

    def code_digests(self) -> dict[str, str]:
        """Returns digests of the function and of the variables that it uses, by name."""
        names = ("train", "metric")
        return code_of(
            {name: self._functions[name] for name in names if self._functions.get(name)}
        )


def check_train(function: Any) -> None:
    """Refuses a function that does not take hyperparameters and a seed.

    Raises:
        BadInputError: The message says which parameters are needed.
    """
    if not callable(function):
        raise BadInputError(f"train: pass a function; got a {type(function).__name__}")
    try:
        inspect.signature(function).bind(*(None,) * _positional(function))
    except TypeError as error:
        raise BadInputError(
            f"train: it is called with params, seed and report, which it does not take ({error})"
        ) from None
    if _positional(function) < 2:
        raise BadInputError(
            "train: it must take params and seed, and report if it reports: def train(params, "
            "seed, report)"
        )


def _positional(function: Any) -> int:
    """Returns how many of params, seed and report a function takes by position."""
    parameters = inspect.signature(function).parameters.values()
    kinds = [each.kind for each in parameters]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return 3
    kinds_by_position = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    positional = [each for each in parameters if each.kind in kinds_by_position]
    # A third one with a default is an option of the user's own, unless it is called report.
    wanted = [
        index < 2 or each.name == "report" or each.default is each.empty
        for index, each in enumerate(positional[:3])
    ]
    return sum(wanted)
