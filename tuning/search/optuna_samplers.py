"""Creates Optuna's samplers and pruners by name, with this library's defaults."""

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tuning.core.trial import Params
from tuning.search.options import refuse_unknown
from tuning.study.ranges import Choice
from tuning.study.space import SearchSpace

if TYPE_CHECKING:
    import optuna

SAMPLERS = ("tpe", "gp", "cmaes", "qmc", "random", "grid", "brute")
PRUNERS = ("median", "hyperband", "asha", "wilcoxon", "none")
# Ranks after the first epochs mislead: strongly regularised models learn slowly at first.
WARM_UP_EPOCHS = 2
STARTUP_TRIALS = 4

_SCALARS = {"int": int, "float": float, "bool": bool, "str": str}
# Largest number of configurations that an algorithm may list.
MAX_GRID = 1_000_000
# Arguments that the searcher sets; users cannot set them.
_RESERVED = ("seed", "max_resource")


def make_sampler(
    name: str, space: SearchSpace, seed: int, options: Params
) -> "optuna.samplers.BaseSampler":
    """Creates a sampler.

    Args:
        name: Name of the sampler, one of ``SAMPLERS``.
        space: Search space.
        seed: Seed of the sampler.
        options: Keyword arguments of Optuna's class.

    Raises:
        ValueError: An option is unknown, has a wrong type or is refused by Optuna, or ``grid`` or
            ``brute`` gets a continuous hyperparameter.
    """
    from optuna import samplers

    from tuning.search.optuna_window import WindowedTPESampler

    kinds: dict[str, tuple[type[samplers.BaseSampler], dict[str, Any]]] = {
        "tpe": (WindowedTPESampler, {"n_startup_trials": STARTUP_TRIALS}),
        "gp": (
            samplers.GPSampler,
            {"n_startup_trials": STARTUP_TRIALS, "warn_independent_sampling": False},
        ),
        "cmaes": (samplers.CmaEsSampler, {"warn_independent_sampling": False}),
        "qmc": (
            samplers.QMCSampler,
            {
                "scramble": True,
                "warn_independent_sampling": False,
                "warn_asynchronous_seeding": False,
            },
        ),
        "random": (samplers.RandomSampler, {}),
        "grid": (samplers.GridSampler, {}),
        "brute": (samplers.BruteForceSampler, {}),
    }
    kind, defaults = kinds[name]
    if name in ("grid", "brute"):
        grid = _grid(space)
        defaults = {"search_space": grid} if name == "grid" else {}
    with _quiet():
        return kind(**{"seed": seed, **defaults, **_checked(kind, options)})


def make_pruner(name: str, epochs: int, options: Params) -> "optuna.pruners.BasePruner":
    """Creates a pruner; by default it does not prune before epoch ``WARM_UP_EPOCHS``.

    Args:
        name: Name of the pruner, one of ``PRUNERS``.
        epochs: Maximum number of epochs per trial.
        options: Keyword arguments of Optuna's class.

    Raises:
        ValueError: An option is unknown, has a wrong type or is refused by Optuna.
    """
    from optuna import pruners

    first_rung = min(WARM_UP_EPOCHS, epochs)
    kinds: dict[str, tuple[type[pruners.BasePruner], dict[str, Any]]] = {
        "median": (
            pruners.MedianPruner,
            # Optuna prunes from this step on; steps are epochs, from 1.
            {"n_startup_trials": STARTUP_TRIALS, "n_warmup_steps": WARM_UP_EPOCHS + 1},
        ),
        "hyperband": (
            pruners.HyperbandPruner,
            {"min_resource": first_rung, "max_resource": epochs, "reduction_factor": 3},
        ),
        "asha": (
            pruners.SuccessiveHalvingPruner,
            {"min_resource": first_rung, "reduction_factor": 3},
        ),
        "wilcoxon": (pruners.WilcoxonPruner, {"n_startup_steps": WARM_UP_EPOCHS}),
        "none": (pruners.NopPruner, {}),
    }
    kind, defaults = kinds[name]
    arguments = {**defaults, **_checked(kind, options)}
    with _quiet():
        if name == "hyperband":
            # Hyperband checks its options only at the first report, so they are checked here.
            shared = ("min_resource", "reduction_factor")
            pruners.SuccessiveHalvingPruner(**{key: arguments[key] for key in shared})
        return kind(**arguments)


@contextmanager
def _quiet() -> Iterator[None]:
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        # Users choose the algorithm by name, even if it is experimental.
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def _checked(kind: type, options: Params) -> Params:
    accepted = _accepted(kind)
    refuse_unknown(options, accepted)
    for name, value in options.items():
        types = accepted[name]
        # In Python a bool is an int, but in a study file it is a mistake.
        fits = type(value) in types or (float in types and type(value) is int)
        if not fits:
            names = " or ".join(type_.__name__ for type_ in types)
            raise ValueError(f"{name}: {names}; got {value!r}")
    return options


def _accepted(kind: type) -> dict[str, tuple[type, ...]]:
    """Returns the options that are numbers, texts or booleans, with their types."""
    accepted = {}
    # A class without a constructor has that of object, whose signature accepts any argument.
    if kind.__init__ is object.__init__:  # type: ignore[misc]
        return {}
    for name, parameter in inspect.signature(kind).parameters.items():
        annotation = parameter.annotation
        text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
        parts = [part.strip() for part in text.split("|") if part.strip() != "None"]
        if name not in _RESERVED and all(part in _SCALARS for part in parts):
            accepted[name] = tuple(_SCALARS[part] for part in parts)
    return accepted


def _grid(space: SearchSpace) -> dict[str, list[Any]]:
    grids = {name: space[name].grid() for name in space.names}
    continuous = [name for name, values in grids.items() if values is None]
    if continuous:
        raise ValueError(f"this algorithm needs steps; give space.{continuous[0]} a step")
    if space.size() > MAX_GRID:
        raise ValueError(f"this algorithm lists every configuration; there are {space.size():.3g}")
    return {
        name: list(declared.labels if isinstance(declared, Choice) else values or ())
        for name, values in grids.items()
        if (declared := space[name])
    }
