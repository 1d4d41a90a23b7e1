"""Reads how a study names its searchers: ``optuna:tpe(n_startup_trials=8)+median``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import yaml

from tuning.core.errors import BadInputError
from tuning.core.trial import Params, ParamValue
from tuning.search.keras_tuner_searcher import ORACLES
from tuning.search.optuna_samplers import PRUNERS, SAMPLERS

# By library: the algorithms and the pruners, the defaults first.
LIBRARIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "optuna": (SAMPLERS, PRUNERS),
    "keras_tuner": (ORACLES, ()),
    "random": ((), ()),
}
_NAMED = r"(?P<{0}>\w+)(?:\((?P<{0}_options>[^()]*)\))?"
_FORM = re.compile(
    rf"(?P<library>\w+)(?::{_NAMED.format('algorithm')})?(?:\+{_NAMED.format('pruner')})?"
)


@dataclass(frozen=True)
class SearcherSpec:
    """A searcher as the study names it.

    Attributes:
        name: Unique in the study, and the prefix of its trials' names.
        library: ``optuna``, ``keras_tuner`` or ``random``.
        algorithm: Sampler or oracle; empty if the library has but one.
        pruner: Empty if the library has none.
        options: Of the algorithm, by the library's names.
        pruner_options: Of the pruner.
    """

    name: str
    library: str
    algorithm: str
    pruner: str
    options: Params = field(default_factory=dict)
    pruner_options: Params = field(default_factory=dict)


def parse_searchers(texts: Sequence[str]) -> list[SearcherSpec]:
    """Reads the names of searchers.

    Args:
        texts: Each ``library``, ``library:algorithm``, ``library+pruner`` or
            ``library:algorithm+pruner``; algorithm and pruner may have options in parentheses.

    Returns:
        Specs of distinct names.

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
    apart = [spec if libraries.count(spec.library) == 1 else _named_apart(spec) for spec in specs]
    return [_numbered(spec, apart[:index]) for index, spec in enumerate(apart)]


def _parse(text: str) -> SearcherSpec:
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise BadInputError(
            f"searchers: {text!r} is not of the form library:algorithm(option=value)+pruner"
        )
    library = found["library"]
    if library not in LIBRARIES:
        raise BadInputError(
            f"searchers: there is no {library!r}; accepted are {', '.join(LIBRARIES)}"
        )
    algorithms, pruners = LIBRARIES[library]
    return SearcherSpec(
        name=library,
        library=library,
        algorithm=_one_of(library, "algorithm", found["algorithm"], algorithms),
        pruner=_one_of(library, "pruner", found["pruner"], pruners),
        options=_options(text, found["algorithm_options"]),
        pruner_options=_options(text, found["pruner_options"]),
    )


def _one_of(library: str, kind: str, name: str | None, accepted: Sequence[str]) -> str:
    if name is None:
        return accepted[0] if accepted else ""
    if name not in accepted:
        listed = ", ".join(accepted) or "none"
        raise BadInputError(f"searchers: {library} has no {kind} {name!r}; accepted are {listed}")
    return name


def _options(text: str, written: str | None) -> dict[str, ParamValue]:
    options: dict[str, ParamValue] = {}
    for part in (written or "").split(","):
        if not part.strip():
            continue
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key.isidentifier() or key in options:
            raise BadInputError(
                f"searchers: {text!r}: options are option=value, each once; got {part.strip()!r}"
            )
        options[key] = _value(value)
    return options


def _value(text: str) -> ParamValue:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, str):
        # YAML takes 1e-3 for a text.
        try:
            return float(value)
        except ValueError:
            return value
    return value if isinstance(value, int | float) else text


def _named_apart(spec: SearcherSpec) -> SearcherSpec:
    parts = [spec.library, spec.algorithm, spec.pruner]
    return replace(spec, name="-".join(part for part in parts if part))


def _numbered(spec: SearcherSpec, before: Sequence[SearcherSpec]) -> SearcherSpec:
    """The same algorithm twice, with other options, needs two names."""
    same = sum(re.sub(r"-\d+$", "", other.name) == spec.name for other in before)
    return replace(spec, name=f"{spec.name}-{same + 1}") if same else spec
