"""Optuna's samplers and pruners by name, with our defaults and the user's options."""

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tuning.core.trial import Params
from tuning.search.options import refuse_unknown
from tuning.study.space import SearchSpace

if TYPE_CHECKING:
    import optuna

SAMPLERS = ("tpe", "gp", "cmaes", "qmc", "random", "grid", "brute")
PRUNERS = ("median", "hyperband", "asha", "wilcoxon", "none")
# Early ranks mislead: strong regularisation learns slowly at first.
WARM_UP_EPOCHS = 2
STARTUP_TRIALS = 4

_SCALARS = {"int": int, "float": float, "bool": bool, "str": str}
# Not for users: what the searcher sets itself.
_OURS = ("seed", "max_resource")


def make_sampler(
    name: str, space: SearchSpace, seed: int, options: Params
) -> "optuna.samplers.BaseSampler":
    """Makes a sampler.

    Args:
        name: One of ``SAMPLERS``.
        space: What it samples.
        seed: Of its random numbers.
        options: Keyword arguments of Optuna's class.

    Raises:
        ValueError: An option is unknown, of a wrong type or refused, or a grid has no end.
    """
    from optuna import samplers

    from tuning.search.optuna_window import WindowedTPESampler

    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
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
    kind, ours = kinds[name]
    if name in ("grid", "brute"):
        grid = _grid(space)
        ours = {"search_space": grid} if name == "grid" else {}
    sampler: samplers.BaseSampler
    with _quiet():
        sampler = kind(seed=seed, **{**ours, **_checked(kind, options)})
    return sampler


def make_pruner(name: str, epochs: int, options: Params) -> "optuna.pruners.BasePruner":
    """Makes a pruner that lets early epochs pass.

    Args:
        name: One of ``PRUNERS``.
        epochs: Most epochs of a trial.
        options: Keyword arguments of Optuna's class.

    Raises:
        ValueError: An option is unknown, of a wrong type or refused.
    """
    from optuna import pruners

    first_rung = min(WARM_UP_EPOCHS, epochs)
    kinds: dict[str, tuple[type[pruners.BasePruner], dict[str, Any]]] = {
        "median": (
            pruners.MedianPruner,
            # Optuna prunes from this step on, and ours count from 1.
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
    kind, ours = kinds[name]
    wanted = {**ours, **_checked(kind, options)}
    with _quiet():
        if name == "hyperband":
            # It makes its brackets, and finds fault with them, only once a trial has reported.
            shared = ("min_resource", "reduction_factor")
            pruners.SuccessiveHalvingPruner(**{key: wanted[key] for key in shared})
        return kind(**wanted)


@contextmanager
def _quiet() -> Iterator[None]:
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        # Who names a sampler wants it, experimental or not.
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def _checked(kind: type, options: Params) -> Params:
    accepted = _accepted(kind)
    refuse_unknown(options, accepted)
    for name, value in options.items():
        types = accepted[name]
        # A bool is an int to Python, but not to who writes a study file.
        fits = type(value) in types or (float in types and type(value) is int)
        if not fits:
            wanted = " or ".join(type_.__name__ for type_ in types)
            raise ValueError(f"{name}: {wanted}; got {value!r}")
    return options


def _accepted(kind: type) -> dict[str, tuple[type, ...]]:
    """Options that are numbers, texts or truth values, with their types."""
    found = {}
    # object's constructor, where no other was written, accepts anything.
    if kind.__init__ is object.__init__:  # type: ignore[misc]
        return {}
    for name, parameter in inspect.signature(kind).parameters.items():
        annotation = parameter.annotation
        text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
        parts = [part.strip() for part in text.split("|") if part.strip() != "None"]
        if name not in _OURS and all(part in _SCALARS for part in parts):
            found[name] = tuple(_SCALARS[part] for part in parts)
    return found


def _grid(space: SearchSpace) -> dict[str, list[Any]]:
    grids = {name: space[name].grid() for name in space.names}
    endless = [name for name, values in grids.items() if values is None]
    if endless:
        raise ValueError(f"every point can be tried only of steps; give space.{endless[0]} a step")
    return {name: list(values or ()) for name, values in grids.items()}
