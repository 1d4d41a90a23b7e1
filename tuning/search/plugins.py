"""Searchers from outside: of other packages, by an entry point, and objects from Python code."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tuning.core.errors import BadInputError
from tuning.core.interfaces import Searcher
from tuning.core.trial import Params
from tuning.search.keras_tuner_searcher import KerasTunerSearcher
from tuning.search.optuna_searcher import OptunaSearcher
from tuning.study.sections import Objective
from tuning.study.space import SearchSpace

GROUP = "tuning.searchers"
# The library of searchers that are objects, as in ``own:MySampler``.
OWN = "own"


@dataclass(frozen=True, kw_only=True)
class SearchProblem:
    """What a searcher is made for.

    Attributes:
        name: Name of the searcher, unique in the study.
        space: Search space.
        objective: Objective of the search.
        seed: Seed of the searcher.
        first: Configuration to propose first: the study's baseline.
        enqueue: Configurations to propose after it.
        epochs: Maximum number of epochs per trial.
        trials: Number of trials in the budget.
        algorithm: Algorithm that the study names, as in ``library:algorithm``; perhaps empty.
        options: Options that the study gives in parentheses, by name.
    """

    name: str
    space: SearchSpace
    objective: Objective
    seed: int
    first: Params
    enqueue: Sequence[Params]
    epochs: int
    trials: int
    algorithm: str = ""
    options: Params


MakeSearcher = Callable[[SearchProblem], Searcher]


def find_plugin(library: str) -> EntryPoint | None:
    """Returns the entry point of the group ``tuning.searchers`` with this name."""
    return next(iter(entry_points(group=GROUP, name=library)), None)


def make_plugin(library: str, problem: SearchProblem) -> Searcher:
    """Makes the searcher of another package.

    Raises:
        BadInputError: The package cannot be imported, or it refuses the problem.
    """
    point = find_plugin(library)
    assert point is not None, "the names of the searchers are checked before"
    try:
        make: MakeSearcher = point.load()
        return make(problem)
    except Exception as error:
        raise BadInputError(f"searchers: {library} ({point.value}): {error}") from error


def own_names(things: Sequence[Any]) -> tuple[list[str], dict[str, Any]]:
    """Returns the names of searchers for a study, and the searchers that are objects by name.

    Args:
        things: Names, and objects: Optuna's samplers, pairs of a sampler and a pruner,
            KerasTuner's oracles, and searchers.

    Raises:
        BadInputError: A thing is none of these.
    """
    names: list[str] = []
    objects: dict[str, Any] = {}
    for thing in things:
        if isinstance(thing, str):
            names.append(thing)
            continue
        if not (_is_sampler(thing) or _is_oracle(thing) or _is_searcher(thing)):
            raise BadInputError(
                "searchers: a name, a sampler of Optuna, a pair of a sampler and a pruner, an "
                f"oracle of KerasTuner, or a tuning.testing.Searcher; got a {type(thing).__name__}"
            )
        first = thing[0] if isinstance(thing, tuple) else thing
        stem = re.sub(r"\W", "", type(first).__name__)
        count = 1 + sum(re.sub(r"\d+$", "", name) == stem for name in objects)
        name = stem if count == 1 else f"{stem}{count}"
        objects[name] = thing
        names.append(f"{OWN}:{name}")
    return names, objects


def make_own(problem: SearchProblem, objects: Mapping[str, Any]) -> Searcher:
    """Makes a searcher of an object from Python code.

    Raises:
        BadInputError: The object is not there, because the study was made by Python code.
    """
    thing = objects.get(problem.algorithm)
    if thing is None:
        raise BadInputError(
            f"searchers: {OWN}:{problem.algorithm} is an object in Python code; pass it to "
            "tuning.tune(searchers=[…])"
        )
    given = problem.name, problem.space, problem.objective
    common: dict[str, Any] = {
        "seed": problem.seed,
        "first": problem.first,
        "epochs": problem.epochs,
        "enqueue": problem.enqueue,
    }
    if _is_sampler(thing):
        sampler, pruner = thing if isinstance(thing, tuple) else (thing, "median")
        return OptunaSearcher(*given, **common, sampler=sampler, pruner=pruner)
    if _is_oracle(thing):
        return KerasTunerSearcher(*given, **common, trials=problem.trials, oracle=thing)
    searcher: Searcher = thing
    return searcher


def _is_sampler(thing: Any) -> bool:
    sampler, *others = thing if isinstance(thing, tuple) and len(thing) == 2 else (thing,)
    return _has_base(sampler, "optuna", "BaseSampler") and all(
        _has_base(other, "optuna", "BasePruner") for other in others
    )


def _is_oracle(thing: Any) -> bool:
    return _has_base(thing, "keras_tuner", "Oracle")


def _is_searcher(thing: Any) -> bool:
    return all(
        callable(getattr(thing, name, None)) for name in ("ask", "report", "tell", "restore")
    )


def _has_base(thing: Any, package: str, name: str) -> bool:
    """Tells the kind of an object without importing its library."""
    return any(
        base.__name__ == name and base.__module__.partition(".")[0] == package
        for base in type(thing).__mro__
    )
