"""Reads the searchers of a study, for example ``optuna:tpe(n_startup_trials=8)+median``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import yaml

from tuning.core.errors import BadInputError
from tuning.core.trial import Params, ParamValue
from tuning.search.keras_tuner_searcher import ORACLES
from tuning.search.optuna_samplers import PRUNERS, SAMPLERS
from tuning.search.plugins import GROUP, OWN, find_plugin

# Algorithms and pruners by library; the first of each is the default.
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
    """The specification of a searcher.

    Attributes:
        name: Name of the searcher, unique in the study; the names of its trials begin with it.
        library: Name of the library: ``optuna``, ``keras_tuner``, ``random``, that of a package
            with an entry point, or ``own`` for an object from Python code.
        algorithm: Name of the sampler or oracle; empty for ``random``.
        pruner: Name of the pruner; empty if the library has none.
        options: Options of the algorithm, by the library's names.
        pruner_options: Options of the pruner, by the library's names.
    """

    name: str
    library: str
    algorithm: str
    pruner: str
    options: Params = field(default_factory=dict)
    pruner_options: Params = field(default_factory=dict)


def parse_searchers(texts: Sequence[str]) -> list[SearcherSpec]:
    """Reads the specifications of searchers.

    Args:
        texts: Texts of the form ``library``, ``library:algorithm``, ``library+pruner`` or
            ``library:algorithm+pruner``; algorithm and pruner may have options in parentheses.

    Returns:
        Specifications with distinct names.

    Raises:
        BadInputError: A text is wrong or repeated; the message names the wrong part and says what
            is accepted.
    """
    specs: list[SearcherSpec] = []
    for text in texts:
        spec = _parse(text)
        if any(spec == other for other in specs):
            raise BadInputError(f"searchers: {text!r} is listed twice; remove one")
        specs.append(spec)
    libraries = [spec.library for spec in specs if spec.library != OWN]
    specs = [
        spec if spec.library == OWN or libraries.count(spec.library) == 1 else _long_name(spec)
        for spec in specs
    ]
    return [_numbered(spec, specs[:index]) for index, spec in enumerate(specs)]


def _parse(text: str) -> SearcherSpec:
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise BadInputError(
            f"searchers: {text!r} is not of the form library:algorithm(option=value)+pruner"
        )
    library = match["library"]
    if library == OWN or (library not in LIBRARIES and find_plugin(library) is not None):
        return _foreign(text, library, match)
    if library not in LIBRARIES:
        raise BadInputError(
            f"searchers: there is no library {library!r}; accepted are {', '.join(LIBRARIES)}, "
            f"and those that installed packages offer under the entry point {GROUP}"
        )
    algorithms, pruners = LIBRARIES[library]
    return SearcherSpec(
        name=library,
        library=library,
        algorithm=_one_of(library, "algorithm", match["algorithm"], algorithms),
        pruner=_one_of(library, "pruner", match["pruner"], pruners),
        options=_options(text, match["algorithm_options"]),
        pruner_options=_options(text, match["pruner_options"]),
    )


def _foreign(text: str, library: str, match: "re.Match[str]") -> SearcherSpec:
    """Reads the name of a searcher from outside, which itself checks algorithm and options."""
    if match["pruner"]:
        raise BadInputError(f"searchers: {text!r}: {library} takes no pruner")
    algorithm = match["algorithm"] or ""
    return SearcherSpec(
        name=algorithm if library == OWN else library,
        library=library,
        algorithm=algorithm,
        pruner="",
        options=_options(text, match["algorithm_options"]),
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
                f"searchers: {text!r}: use option=value, each option once; got {part.strip()!r}"
            )
        options[key] = _value(value)
    return options


def _value(text: str) -> ParamValue:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, str):
        # YAML reads 1e-3 as a text.
        try:
            return float(value)
        except ValueError:
            return value
    return value if isinstance(value, int | float) else text


def _long_name(spec: SearcherSpec) -> SearcherSpec:
    parts = [spec.library, spec.algorithm, spec.pruner]
    return replace(spec, name="-".join(part for part in parts if part))


def _numbered(spec: SearcherSpec, before: Sequence[SearcherSpec]) -> SearcherSpec:
    """Adds a number to the name if an earlier searcher has the same name."""
    same = sum(re.sub(r"-\d+$", "", other.name) == spec.name for other in before)
    return replace(spec, name=f"{spec.name}-{same + 1}") if same else spec
