"""Checks the specifications of searchers, and creates the searchers."""

import importlib.util
from collections.abc import Sequence
from typing import Any

from tuning.core.errors import BadInputError
from tuning.core.interfaces import Searcher
from tuning.core.seeds import derive_seed
from tuning.search.keras_tuner_searcher import KerasTunerSearcher
from tuning.search.names import SearcherSpec
from tuning.search.optuna_searcher import OptunaSearcher
from tuning.search.random_searcher import RandomSearcher
from tuning.study.file import Study

# The module that an algorithm needs besides its library.
_NEEDS = {"cmaes": "cmaes", "gp": "torch"}


def check_installed(specs: Sequence[SearcherSpec]) -> None:
    """Checks that the libraries of the searchers are installed, without importing them.

    Raises:
        BadInputError: A module is missing; the message names the package to install.
    """
    for spec in specs:
        modules = [] if spec.library == "random" else [spec.library]
        modules += [_NEEDS[spec.algorithm]] if spec.algorithm in _NEEDS else []
        for module in modules:
            if importlib.util.find_spec(module) is None:
                package = module.replace("_", "-")
                raise BadInputError(
                    f"searchers: {spec.library}:{spec.algorithm} needs {module}, which is not "
                    f"installed; install it with: pip install {package}"
                )


def check_options(specs: Sequence[SearcherSpec], study: Study) -> None:
    """Checks the options of the searchers, and whether they can search this space.

    A library is imported only if there is something to check.

    Raises:
        BadInputError: An option is wrong, or the algorithm cannot search the space. The message
            names the searcher and the option or the hyperparameter.
    """
    for spec in specs:
        if spec.options or spec.pruner_options or spec.algorithm in ("grid", "brute"):
            make_searcher(spec, study)


def make_searcher(spec: SearcherSpec, study: Study) -> Searcher:
    """Creates a searcher; all but ``keras_tuner:grid`` propose the study's baseline first.

    Raises:
        BadInputError: An option is wrong, or the algorithm cannot search the space.
    """
    try:
        seed = derive_seed(study.seed, "searcher", spec.name)
        if spec.library == "random":
            return RandomSearcher(spec.name, study.space, seed, study.baseline)
        problem = spec.name, study.space, study.objective
        common: Any = {"seed": seed, "first": study.baseline, "epochs": study.budget.epochs}
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
