"""Searchers from outside: objects of Python code, and other packages."""

from importlib.metadata import EntryPoint
from typing import Any

import optuna
import pytest

from tests.factories import make_study
from tuning.core.errors import BadInputError
from tuning.core.interfaces import Searcher
from tuning.core.trial import Params, Proposal
from tuning.search import names, plugins
from tuning.search.factory import check_installed, make_searcher
from tuning.search.names import parse_searchers
from tuning.search.optuna_searcher import OptunaSearcher
from tuning.search.plugins import SearchProblem, own_names
from tuning.search.random_searcher import RandomSearcher
from tuning.study.sections import Objective
from tuning.study.space import SearchSpace
from tuning.testing import SearcherContract

OBJECTIVE = Objective(metric="val_accuracy")


class Backwards(RandomSearcher):
    """A searcher of the user."""


def plugin(problem: SearchProblem) -> Searcher:
    """What a package offers under an entry point."""
    if "bad" in problem.options:
        raise ValueError("bad is no option")
    return Backwards(problem.name, problem.space, problem.seed, problem.first, problem.enqueue)


class TestASearcherOfTheUser(SearcherContract):
    """The five lines of an author."""

    def make_searcher(self, space: SearchSpace, first: Params, seed: int) -> Searcher:
        return Backwards("backwards", space, seed, first)


class TestASamplerOfTheUser(SearcherContract):
    def make_searcher(self, space: SearchSpace, first: Params, seed: int) -> Searcher:
        sampler = optuna.samplers.RandomSampler(seed=seed)
        return OptunaSearcher(
            "own", space, OBJECTIVE, seed=seed, first=first, epochs=3, sampler=sampler
        )


class TestAnOracleOfTheUser(SearcherContract):
    def make_searcher(self, space: SearchSpace, first: Params, seed: int) -> Searcher:
        import keras_tuner

        from tuning.search.keras_tuner_searcher import KerasTunerSearcher

        oracle = keras_tuner.oracles.RandomSearchOracle(max_trials=3, seed=seed)
        return KerasTunerSearcher(
            "own", space, OBJECTIVE, seed=seed, first=first, epochs=3, trials=20, oracle=oracle
        )


def test_objects_have_names_that_a_study_can_hold() -> None:
    first, second = optuna.samplers.TPESampler(), optuna.samplers.TPESampler()
    pair = (optuna.samplers.RandomSampler(), optuna.pruners.NopPruner())
    own = Backwards("b", make_study().space, 0, make_study().baseline)
    texts, objects = own_names(["optuna", first, second, pair, own])
    expected = ["optuna", "own:TPESampler", "own:TPESampler2", "own:RandomSampler"]
    assert texts == [*expected, "own:Backwards"]
    specs = parse_searchers(texts)
    assert [spec.name for spec in specs] == [
        "optuna",
        "TPESampler",
        "TPESampler2",
        "RandomSampler",
        "Backwards",
    ]
    check_installed(specs)
    study = make_study(searchers=texts, enqueue=[{"units": 4, "rate": 0.1}])
    made = [make_searcher(spec, study, objects) for spec in specs]
    assert isinstance(made[1], OptunaSearcher) and made[4] is own
    proposals = [made[1].ask(number) for number in range(2)]
    assert [p.params for p in proposals if isinstance(p, Proposal)] == [
        study.baseline,
        {"units": 4, "rate": 0.1},
    ]


def test_an_oracle_may_be_checked_and_used_and_used_again() -> None:
    import keras_tuner

    oracle = keras_tuner.oracles.RandomSearchOracle(max_trials=3, seed=1)
    texts, objects = own_names([oracle])
    study = make_study(searchers=texts)
    (spec,) = parse_searchers(texts)
    first = []
    for _ in range(3):
        searcher = make_searcher(spec, study, objects)
        proposals = [searcher.ask(number) for number in range(3)]
        first.append([p.params for p in proposals if isinstance(p, Proposal)])
    assert first[0] == first[1] == first[2] and len(first[0]) == 3
    assert not oracle.trials


def test_another_object_is_refused_and_one_that_is_missing_is_named() -> None:
    with pytest.raises(BadInputError, match=r"searchers: a name, a sampler .* got a dict"):
        own_names([{}])
    (spec,) = parse_searchers(["own:TPESampler"])
    with pytest.raises(BadInputError, match=r"own:TPESampler is an object in Python code"):
        make_searcher(spec, make_study())


def test_a_package_offers_a_searcher_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("backwards", f"{__name__}:plugin", plugins.GROUP)

    def find(library: str) -> Any:
        return point if library == "backwards" else None

    monkeypatch.setattr(plugins, "find_plugin", find)
    monkeypatch.setattr(names, "find_plugin", find)
    spec, with_option = parse_searchers(["backwards:fast", "backwards:fast(bad=1)"])
    searcher = make_searcher(spec, make_study())
    assert isinstance(searcher, Backwards) and searcher.name == spec.name
    with pytest.raises(BadInputError, match=r"backwards \(.*:plugin\): bad is no option"):
        make_searcher(with_option, make_study())
    with pytest.raises(BadInputError, match=r"backwards takes no pruner"):
        parse_searchers(["backwards+median"])
    with pytest.raises(BadInputError, match=r"there is no library 'forwards'.*tuning.searchers"):
        parse_searchers(["forwards"])
