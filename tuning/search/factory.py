"""Checks the specifications of searchers, and creates the searchers."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tuning.core.errors import BadInputError
from tuning.core.interfaces import Searcher
from tuning.core.seeds import derive_seed
from tuning.search.keras_tuner_searcher import KerasTunerSearcher
from tuning.search.names import LIBRARIES, SearcherSpec
from tuning.search.optuna_searcher import OptunaSearcher
from tuning.search.plugins import OWN, SearchProblem, make_own, make_plugin
from tuning.search.random_searcher import RandomSearcher
from tuning.search.repeated_searcher import RepeatedSearcher
from tuning.study.file import Study

HYPERBAND = ("keras_tuner", "hyperband")
# The module that an algorithm needs besides its library.
_NEEDS = {"cmaes": "cmaes", "gp": "torch"}


def check_installed(specs: Sequence[SearcherSpec]) -> None:
    """Checks that the libraries of the searchers are installed, without importing them.

    Raises:
        BadInputError: A module is missing; the message names the package to install.
    """
    for spec in specs:
        modules = [spec.library] if spec.library in ("optuna", "keras_tuner") else []
        modules += [_NEEDS[spec.algorithm]] if spec.algorithm in _NEEDS else []
        for module in modules:
            if importlib.util.find_spec(module) is None:
                package = module.replace("_", "-")
                raise BadInputError(
                    f"searchers: {spec.library}:{spec.algorithm} needs {module}, which is not "
                    f"installed; install it with: pip install {package}"
                )


def check_options(
    specs: Sequence[SearcherSpec], study: Study, own: Mapping[str, Any] | None = None
) -> None:
    """Checks the options of the searchers, and whether they can search this space.

    A library is imported only if there is something to check.

    Args:
        specs: Specifications of the searchers.
        study: Study with the space.
        own: Searchers that are objects, by name.

    Raises:
        BadInputError: An option is wrong, or the algorithm cannot search the space. The message
            names the searcher and the option or the hyperparameter.
    """
    for spec in specs:
        thing = (own or {}).get(spec.algorithm)
        is_hyperband = (spec.library, spec.algorithm) == HYPERBAND
        is_hyperband |= "HyperbandOracle" in {base.__name__ for base in type(thing).__mro__}
        if study.repeats > 1 and is_hyperband:
            field = "search.folds" if study.search.folds else "budget.repeats"
            raise BadInputError(
                f"{field}: KerasTuner's Hyperband trains a configuration further and cannot "
                "repeat it; use keras_tuner:bayesian"
            )
        is_foreign = spec.library not in LIBRARIES
        has_options = spec.options or spec.pruner_options
        if is_foreign or has_options or spec.algorithm in ("grid", "brute"):
            make_searcher(spec, study, own)


def make_repeated(
    repeats: int, make: Callable[[], Searcher], tags: Callable[[int], Mapping[str, str]]
) -> Searcher:
    """Creates a searcher whose configurations are trained several times.

    Args:
        repeats: Number of trainings per configuration.
        make: Function that creates the searcher of the configurations.
        tags: Function that returns the tags of a repeat, by its number from 0.
    """
    searcher = make()
    return RepeatedSearcher(searcher, repeats, tags) if repeats > 1 else searcher


def make_searcher(
    spec: SearcherSpec, study: Study, own: Mapping[str, Any] | None = None
) -> Searcher:
    """Creates a searcher; all but ``keras_tuner:grid`` propose the study's baseline first.

    Args:
        spec: Specification of the searcher.
        study: Study with the space.
        own: Searchers that are objects, by name.

    Raises:
        BadInputError: An option is wrong, or the algorithm cannot search the space.
    """
    try:
        seed = derive_seed(study.seed, "searcher", spec.name)
        if spec.library not in LIBRARIES:
            foreign = SearchProblem(
                name=spec.name,
                space=study.space,
                objective=study.objective,
                seed=seed,
                first=study.baseline,
                enqueue=study.enqueue,
                epochs=study.budget.epochs,
                trials=study.budget.trials,
                algorithm=spec.algorithm,
                options=spec.options,
            )
            if spec.library == OWN:
                return make_own(foreign, own or {})
            return make_plugin(spec.library, foreign)
        if spec.library == "random":
            return RandomSearcher(spec.name, study.space, seed, study.baseline, study.enqueue)
        problem = spec.name, study.space, study.objective
        common: Any = {
            "seed": seed,
            "first": study.baseline,
            "epochs": study.budget.epochs,
            "enqueue": study.enqueue,
        }
        if spec.library == "optuna":
            return OptunaSearcher(
                *problem,
                **common,
                sampler=spec.algorithm,
                pruner=spec.pruner,
                sampler_options=spec.options,
                pruner_options=spec.pruner_options,
            )
        trials = study.budget.trials
        return KerasTunerSearcher(
            *problem, **common, trials=trials, oracle=spec.algorithm, options=spec.options
        )
    except (TypeError, ValueError) as error:
        raise BadInputError(f"searchers: {spec.library}:{spec.algorithm}: {error}") from error
