"""From a name such as ``optuna:tpe+median`` to a searcher."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from tuning.errors import BadInputError
from tuning.protocols import Searcher
from tuning.search.keras_tuner_search import ORACLES, KerasTunerSearcher
from tuning.search.optuna_search import PRUNERS, SAMPLERS, OptunaSearcher
from tuning.search.random_search import RandomSearcher
from tuning.seeds import derive_seed
from tuning.study import Study

# By library: the algorithms (the first is the default), and the pruners.
_OPTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "optuna": (SAMPLERS, PRUNERS),
    "keras_tuner": (ORACLES, ()),
    "random": ((), ()),
}


@dataclass(frozen=True)
class SearcherSpec:
    """A searcher as the study names it.

    Attributes:
        name: Unique in the study, and the prefix of its trials' names.
        library: ``optuna``, ``keras_tuner`` or ``random``.
        algorithm: Sampler or oracle; empty if the library has but one.
        pruner: Empty if the library has none.
    """

    name: str
    library: str
    algorithm: str
    pruner: str


def parse_searchers(texts: Sequence[str]) -> list[SearcherSpec]:
    """Reads the names of searchers.

    Args:
        texts: Each ``library``, ``library:algorithm`` or ``library:algorithm+pruner``.

    Raises:
        BadInputError: Naming the part that is unknown and what would be accepted.
    """
    specs: list[SearcherSpec] = []
    for text in texts:
        spec = _parse(text)
        if any(spec == other for other in specs):
            raise BadInputError(f"searchers: {text!r} is there twice")
        specs.append(spec)
    libraries = [spec.library for spec in specs]
    return [spec if libraries.count(spec.library) == 1 else _named_apart(spec) for spec in specs]


def check_installed(specs: Sequence[SearcherSpec]) -> None:
    """Raises BadInputError if a searcher's library is not installed; imports nothing."""
    for spec in specs:
        if spec.library != "random" and importlib.util.find_spec(spec.library) is None:
            package = spec.library.replace("_", "-")
            raise BadInputError(
                f"searchers: {spec.library} is not installed; pip install {package}"
            )


def make_searcher(spec: SearcherSpec, study: Study) -> Searcher:
    """Makes a searcher whose first proposal is the study's baseline."""
    seed = derive_seed(study.seed, "searcher", spec.name)
    if spec.library == "optuna":
        return OptunaSearcher(
            spec.name,
            study.space,
            study.objective,
            seed=seed,
            first=study.baseline,
            epochs=study.budget.epochs,
            sampler=spec.algorithm,
            pruner=spec.pruner,
        )
    if spec.library == "keras_tuner":
        return KerasTunerSearcher(
            spec.name,
            study.space,
            study.objective,
            seed=seed,
            first=study.baseline,
            epochs=study.budget.epochs,
            trials=study.budget.trials,
            oracle=spec.algorithm,
        )
    return RandomSearcher(spec.name, study.space, seed, study.baseline)


def _parse(text: str) -> SearcherSpec:
    library, _, rest = text.partition(":")
    if library not in _OPTIONS:
        raise BadInputError(
            f"searchers: there is no {library!r}; accepted are {', '.join(_OPTIONS)}"
        )
    algorithms, pruners = _OPTIONS[library]
    algorithm, _, pruner = rest.partition("+")
    algorithm = algorithm or (algorithms[0] if algorithms else "")
    pruner = pruner or (pruners[0] if pruners else "")
    for part, accepted, kind in (
        (algorithm, algorithms, "algorithm"),
        (pruner, pruners, "pruner"),
    ):
        if part and part not in accepted:
            listed = ", ".join(accepted) or "none"
            raise BadInputError(
                f"searchers: {library} has no {kind} {part!r}; accepted are {listed}"
            )
    return SearcherSpec(library, library, algorithm, pruner)


def _named_apart(spec: SearcherSpec) -> SearcherSpec:
    parts = [spec.library, spec.algorithm, spec.pruner]
    name = "-".join(part for part in parts if part)
    return SearcherSpec(name, spec.library, spec.algorithm, spec.pruner)
