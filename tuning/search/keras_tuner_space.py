"""Declares a search space in KerasTuner's form."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from tuning.core.trial import ParamValue
from tuning.study.ranges import Choice, Float, Int
from tuning.study.space import SearchSpace

# Ranges with more steps are declared as continuous ones.
MAX_LISTED = 10_000


def _labels(declared: Int | Float | Choice, values: Sequence[ParamValue]) -> list[Any]:
    is_choice = isinstance(declared, Choice)
    return [declared.label_of(value) if is_choice else value for value in values]  # type: ignore[union-attr]


def declare_space(space: SearchSpace) -> Any:
    """Returns ``keras_tuner.HyperParameters`` that declare the space, without values."""
    import keras_tuner as kt

    hyperparameters = kt.HyperParameters()
    for name in space.names:
        declared = space[name]
        with ExitStack() as scopes:
            for parent, values in (declared.when or {}).items():
                scopes.enter_context(
                    hyperparameters.conditional_scope(parent, _labels(space[parent], values))
                )
            if isinstance(declared, Choice):
                # KerasTuner refuses an order of texts.
                ordered = declared.ordered and not isinstance(declared.labels[0], str)
                hyperparameters.Choice(name, declared.labels, ordered=ordered)
            elif (
                isinstance(declared, Float)
                and (grid := declared.grid()) is not None
                and len(grid) <= MAX_LISTED
            ):
                # hp.Float with a step never reaches its highest value, and it changes values
                # slightly.
                hyperparameters.Choice(name, list(grid), ordered=True)
            else:
                whole = isinstance(declared, Int)
                declare = hyperparameters.Int if whole else hyperparameters.Float
                # Of a range with very many steps, the nearest step is taken afterwards.
                step = declared.step if whole else None
                scale = {"sampling": "log"} if declared.log else {"step": step}
                declare(name, declared.low, declared.high, **scale)
    hyperparameters.values = {}
    return hyperparameters
