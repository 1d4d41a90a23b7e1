"""Every searcher holds the contract; what is special to one is tested below."""

import statistics
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler

from tests.factories import make_measurement, make_result, make_study, make_trial
from tuning.core.errors import BadInputError
from tuning.core.interfaces import NoProposal, Searcher
from tuning.core.trial import Proposal, TrialRecord, TrialState, config_hash
from tuning.search import optuna_window
from tuning.search.deferred_searcher import DeferredSearcher
from tuning.search.factory import check_installed, check_options, make_searcher
from tuning.search.fixed_searcher import FixedSearcher
from tuning.search.keras_tuner_searcher import KerasTunerSearcher
from tuning.search.names import parse_searchers
from tuning.search.optuna_searcher import OptunaSearcher
from tuning.search.random_searcher import RandomSearcher
from tuning.study.sections import Objective
from tuning.study.space import SearchSpace
from tuning.testing.searchers import (
    EPOCHS,
    FIRST,
    SMALL,
    SPACE,
    MakeSearcher,
    SearcherContract,
    ask,
    play,
    value_of,
)

OBJECTIVE = Objective()
VAL_LOSS = Objective(metric="val_loss", direction="minimize")


def optuna(objective: Objective = OBJECTIVE, **fixed: Any) -> MakeSearcher:
    def make(space: Any = SPACE, first: Any = FIRST, seed: int = 11) -> Searcher:
        return OptunaSearcher(
            "optuna", space, objective, seed=seed, first=first, epochs=EPOCHS, **fixed
        )

    return make


def keras_tuner(oracle: str, objective: Objective = OBJECTIVE) -> MakeSearcher:
    def make(space: Any = SPACE, first: Any = FIRST, seed: int = 11) -> Searcher:
        return KerasTunerSearcher(
            "keras_tuner",
            space,
            objective,
            seed=seed,
            first=first,
            epochs=EPOCHS,
            trials=12,
            oracle=oracle,
        )

    return make


class TestRandom(SearcherContract):
    @pytest.fixture
    def make(self) -> MakeSearcher:
        return lambda space=SPACE, first=FIRST, seed=11: RandomSearcher("r", space, seed, first)


class TestDeferred(SearcherContract):
    @pytest.fixture
    def make(self) -> MakeSearcher:
        return lambda space=SPACE, first=FIRST, seed=11: DeferredSearcher(
            "r", lambda: RandomSearcher("r", space, seed, first)
        )


class TestOptunaTpeMedian(SearcherContract):
    @pytest.fixture
    def make(self) -> MakeSearcher:
        return optuna(sampler="tpe", pruner="median")


class TestOptunaTpeInBatches(SearcherContract):
    """As with hundreds of running trials."""

    @pytest.fixture
    def make(self, monkeypatch: pytest.MonkeyPatch) -> MakeSearcher:
        monkeypatch.setattr(optuna_window, "RUNNING_PER_PROPOSAL", 1)
        return optuna(sampler="tpe", pruner="median")


class TestOptunaTpeHyperband(SearcherContract):
    @pytest.fixture
    def make(self) -> MakeSearcher:
        return optuna(sampler="tpe", pruner="hyperband")


class TestOptunaCmaEsAsha(SearcherContract):
    @pytest.fixture
    def make(self) -> MakeSearcher:
        return optuna(sampler="cmaes", pruner="asha")


class TestOptunaQmcWilcoxon(SearcherContract):
    @pytest.fixture
    def make(self) -> MakeSearcher:
        return optuna(sampler="qmc", pruner="wilcoxon")


class TestOptunaGp(SearcherContract):
    @pytest.fixture
    def make(self) -> MakeSearcher:
        pytest.importorskip("torch", reason="Optuna's Gaussian process needs torch")
        return optuna(sampler="gp", pruner="none")


STEPPED = SearchSpace.model_validate(
    {name: SPACE[name].model_dump() for name in SPACE.names if name not in ("width", "scale")}
)
STEPPED_FIRST = STEPPED.select(FIRST)


class _TriesEveryPoint(SearcherContract):
    space = STEPPED
    first = STEPPED_FIRST
    sampler = ""

    @pytest.fixture
    def make(self) -> MakeSearcher:
        made = optuna(sampler=self.sampler, pruner="median")
        return lambda space=STEPPED, first=STEPPED_FIRST, seed=11: made(space, first, seed)

    def test_it_tries_every_point_of_a_conditional_space_once(self, make: MakeSearcher) -> None:
        searcher = make()
        seen: list[str] = []
        while isinstance(proposal := searcher.ask(len(seen)), Proposal):
            play(searcher, len(seen), proposal)
            seen.append(config_hash(proposal.params))
        assert len(seen) == len(set(seen)) == STEPPED.size()


class TestOptunaGrid(_TriesEveryPoint):
    sampler = "grid"


class TestOptunaBrute(_TriesEveryPoint):
    sampler = "brute"


del _TriesEveryPoint  # pytest would collect it


class TestOptunaRandom(SearcherContract):
    @pytest.fixture
    def make(self) -> MakeSearcher:
        return optuna(sampler="random", pruner="none")


@pytest.mark.slow
class TestKerasTunerBayesian(SearcherContract):
    trials = 8  # each fits a Gaussian process

    @pytest.fixture
    def make(self) -> MakeSearcher:
        return keras_tuner("bayesian")


@pytest.mark.slow
class TestKerasTunerRandom(SearcherContract):
    @pytest.fixture
    def make(self) -> MakeSearcher:
        return keras_tuner("random")


@pytest.mark.slow
class TestKerasTunerHyperband(SearcherContract):
    repeats_configurations = True

    @pytest.fixture
    def make(self) -> MakeSearcher:
        return keras_tuner("hyperband")

    def test_several_may_run_at_once_and_end_in_any_order(self, make: MakeSearcher) -> None:
        searcher = make()
        proposals = {number: ask(searcher, number) for number in range(3)}
        for number in (2, 0, 1):
            play(searcher, number, proposals[number])


def test_keras_tuners_hyperband_goes_on_from_the_parents_checkpoint() -> None:
    searcher = keras_tuner("hyperband")()
    promoted: list[tuple[int, Proposal]] = []
    for number in range(12):
        proposal = searcher.ask(number)
        if not isinstance(proposal, Proposal):
            break
        assert not any(name.startswith("tuner/") for name in proposal.params)
        if proposal.resume_from is not None:
            promoted.append((number, proposal))
        play(searcher, number, proposal)
    assert promoted
    number, proposal = promoted[0]
    assert proposal.epochs == EPOCHS
    assert proposal.resume_from is not None
    parent = int(proposal.resume_from.removeprefix("keras_tuner-"))
    assert parent < number


def test_keras_tuners_hyperband_is_restored_with_its_brackets() -> None:
    searcher = keras_tuner("hyperband")()
    records: list[TrialRecord] = []
    for number in range(7):
        proposal = ask(searcher, number)
        trial = make_trial(f"keras_tuner-{number:03d}", number=number, params=proposal.params)
        result = play(searcher, number, proposal)
        started = 10 * number
        records.append(
            TrialRecord(trial=trial, result=result, started_ms=started, ended_ms=started + 9)
        )
    restored = keras_tuner("hyperband")()
    restored.restore(records)
    for number in range(7, 12):
        expected, proposal = ask(searcher, number), ask(restored, number)
        assert proposal == expected
        play(searcher, number, expected)
        play(restored, number, proposal)


def test_keras_tuners_hyperband_refuses_what_it_would_not_have_chosen() -> None:
    other = {**FIRST, "units": 8}
    record = TrialRecord(trial=make_trial(params=other), result=make_result(), ended_ms=5)
    with pytest.raises(BadInputError, match="this study cannot be resumed"):
        keras_tuner("hyperband")().restore([record])


def test_keras_tuners_grid_covers_the_space() -> None:
    study = make_study()
    searcher = KerasTunerSearcher(
        "grid",
        study.space,
        Objective(),
        seed=1,
        first=study.baseline,
        epochs=1,
        trials=99,
        oracle="grid",
    )
    seen = []
    for number in range(99):
        proposal = searcher.ask(number)
        if not isinstance(proposal, Proposal):
            assert proposal is NoProposal.EXHAUSTED
            break
        seen.append(tuple(proposal.params.values()))
        play(searcher, number, proposal)
    assert len(set(seen)) == len(seen) == study.space.size()


def test_optunas_median_pruner_stops_the_worst_but_never_the_baseline() -> None:
    searcher = optuna(sampler="random", pruner="median")()
    for number in range(5):
        proposal = ask(searcher, number)
        for step in range(1, 4):
            searcher.report(number, make_measurement(step, 0.8))
        searcher.tell(number, make_result([0.8] * 3))
        assert proposal
    ask(searcher, 5)
    decisions = [searcher.report(5, make_measurement(step, 0.1)) for step in (1, 2, 3)]
    assert [decision.stop for decision in decisions] == [False, False, True]
    assert "optuna" in decisions[-1].reason
    late = optuna(sampler="random", pruner="median")()
    first = {number: ask(late, number) for number in range(6)}
    for number in range(1, 6):
        play(late, number, first[number])
    assert not any(late.report(0, make_measurement(step, 0.0)).stop for step in (1, 2, 3))


@pytest.mark.parametrize(
    ("make", "seeds"),
    [
        pytest.param(optuna(), 4, id="tpe"),
        pytest.param(keras_tuner("bayesian"), 1, id="bayesian", marks=pytest.mark.full),
    ],
)
def test_a_model_based_searcher_beats_its_own_beginning(
    make: Callable[..., Searcher], seeds: int
) -> None:
    """Late proposals are better than early ones."""
    early, late = [], []
    for seed in range(seeds):
        searcher = make(seed=1000 * seed + 1)
        values = []
        for number in range(14):
            proposal = ask(searcher, number)
            values.append(value_of(proposal.params))
            play(searcher, number, proposal)
        early.append(statistics.mean(values[1:5]))
        late.append(statistics.mean(values[-5:]))
    assert statistics.mean(late) > statistics.mean(early)


def minimizing(name: str) -> Searcher:
    (spec,) = parse_searchers([name])
    objective = {"metric": "val_loss", "direction": "minimize"}
    return make_searcher(spec, make_study(objective=objective, budget={"trials": 20, "epochs": 9}))


@pytest.mark.parametrize("name", ["optuna:random+median", "optuna:random+asha"])
@pytest.mark.parametrize(("loss", "pruned"), [(0.9, True), (0.1, False)])
def test_minimising_prunes_what_is_worse_and_nothing_else(
    name: str, loss: float, pruned: bool
) -> None:
    searcher = minimizing(name)
    for number in range(8):
        ask(searcher, number)
        for step in range(1, 10):
            searcher.report(number, make_measurement(step, val_loss=0.5 + number / 100))
        searcher.tell(number, make_result([0.5]))
    ask(searcher, 8)
    decisions = [searcher.report(8, make_measurement(s, val_loss=loss)) for s in range(1, 9)]
    assert any(decision.stop for decision in decisions) is pruned


@pytest.mark.parametrize(
    ("make", "seeds"),
    [
        pytest.param(optuna(objective=VAL_LOSS), 4, id="tpe"),
        pytest.param(
            keras_tuner("bayesian", VAL_LOSS),
            1,
            id="bayesian",
            marks=[pytest.mark.slow, pytest.mark.full],
        ),
    ],
)
def test_minimising_prefers_the_lower_end(make: Callable[..., Searcher], seeds: int) -> None:
    early, late = [], []
    for seed in range(seeds):
        searcher = make(seed=1000 * seed + 1)
        values = []
        for number in range(14):
            values.append(1 - value_of(ask(searcher, number).params))
            searcher.report(number, make_measurement(1, val_loss=values[-1]))
            searcher.tell(number, replace(make_result([0.5]), value=values[-1]))
        early.append(statistics.mean(values[1:5]))
        late.append(statistics.mean(values[-5:]))
    assert statistics.mean(late) < statistics.mean(early)


def test_a_fixed_list_is_proposed_in_order_and_restored_by_name() -> None:
    proposals = [Proposal(params=FIRST, name=f"baseline-seed{i}", seed=i) for i in (1, 2, 3)]
    searcher = FixedSearcher("baseline", proposals)
    done = make_trial("baseline-seed1")
    searcher.restore([TrialRecord(trial=done, result=make_result())])
    assert [ask(searcher, number).name for number in range(2)] == [
        "baseline-seed2",
        "baseline-seed3",
    ]
    assert searcher.ask(2) is NoProposal.EXHAUSTED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hyperopt", "no library 'hyperopt'; accepted are optuna, keras_tuner, random"),
        ("optuna:nsgaii", "optuna has no algorithm 'nsgaii'; accepted are tpe, gp"),
        ("optuna:tpe+retrying", "optuna has no pruner 'retrying'; accepted are median"),
        ("optuna:tpe(", "not of the form library:algorithm"),
        ("optuna:tpe(x)", "use option=value, each option once; got 'x'"),
        ("optuna:tpe(x=1,x=2)", "each option once; got 'x=2'"),
        ("keras_tuner:bayesian+median", "keras_tuner has no pruner 'median'; accepted are none"),
        ("random:x", "random has no algorithm 'x'"),
    ],
)
def test_an_unknown_searcher_is_named(text: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message.replace("+", r"\+")):
        parse_searchers([text])


def test_options_are_read_with_their_types() -> None:
    (spec,) = parse_searchers(
        ["optuna:tpe(n_startup_trials=8, multivariate=true)+hyperband(reduction_factor=4)"]
    )
    assert (spec.algorithm, spec.pruner) == ("tpe", "hyperband")
    assert spec.options == {"n_startup_trials": 8, "multivariate": True}
    assert spec.pruner_options == {"reduction_factor": 4}
    (spec,) = parse_searchers(["keras_tuner:bayesian(alpha=1e-3)"])
    assert spec.options == {"alpha": 0.001}
    (spec,) = parse_searchers(["optuna+asha"])
    assert (spec.algorithm, spec.pruner) == ("tpe", "asha")


def test_the_command_line_splits_searchers_outside_of_parentheses() -> None:
    given = "optuna:tpe(n_startup_trials=8, group=true),keras_tuner:hyperband(factor=4), random"
    study = make_study().change([f"searchers={given}"])
    assert [spec.library for spec in parse_searchers(study.searchers)] == [
        "optuna",
        "keras_tuner",
        "random",
    ]


def test_options_reach_the_library() -> None:
    study = make_study()
    (spec,) = parse_searchers(["optuna:tpe(n_startup_trials=9)+median(n_warmup_steps=7)"])
    searcher = make_searcher(spec, study)
    assert isinstance(searcher, OptunaSearcher)
    sampler, pruner = searcher._study.sampler, searcher._study.pruner
    assert isinstance(sampler, TPESampler)
    assert sampler._n_startup_trials == 9
    assert isinstance(pruner, MedianPruner)
    assert pruner._n_warmup_steps == 7
    (spec,) = parse_searchers(["keras_tuner:hyperband(factor=2)"])
    tuner = make_searcher(spec, study)
    assert isinstance(tuner, KerasTunerSearcher)
    assert tuner._oracle.factor == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optuna:tpe(n_trials=3)", "there is no option 'n_trials'; accepted are .*group"),
        ("optuna:tpe(seed=3)", "there is no option 'seed'"),
        ("optuna:tpe(n_startup_trials=many)", "n_startup_trials: int; got 'many'"),
        ("optuna:tpe(n_startup_trials=true)", "n_startup_trials: int; got True"),
        ("optuna:tpe+hyperband(reduction_factor=1)", "(?i)reduction.factor"),
        ("optuna:tpe+none(x=1)", "there is no option 'x'; accepted are none"),
        ("optuna:qmc(qmc_type=cobol)", "cobol"),
        ("keras_tuner:bayesian(beta=-1)", "beta: float, 0 or more; got -1"),
        ("keras_tuner:hyperband(factor=2.5)", "factor: int, 2 or more; got 2.5"),
        ("keras_tuner:random(x=1)", "there is no option 'x'; accepted are none"),
    ],
)
def test_a_wrong_option_is_said_before_any_work(text: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        check_options(parse_searchers([text]), make_study())


@pytest.mark.parametrize("algorithm", ["grid", "brute"])
def test_every_point_needs_steps(algorithm: str) -> None:
    space = {"rate": {"type": "float", "low": 0.0, "high": 0.5}}
    study = make_study(space=space, baseline={"rate": 0.0}, references={})
    with pytest.raises(BadInputError, match=r"give space\.rate a step"):
        check_options(parse_searchers([f"optuna:{algorithm}"]), study)


def test_what_an_algorithm_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "torch" else name)
    with pytest.raises(BadInputError, match=r"optuna:gp needs torch.*pip install torch"):
        check_installed(parse_searchers(["optuna:gp"]))


def test_two_searchers_of_a_library_get_names_of_their_own() -> None:
    twice = parse_searchers(["optuna:tpe", "optuna:tpe(group=true)", "optuna:tpe(group=false)"])
    assert [spec.name for spec in twice] == [
        "optuna-tpe-median",
        "optuna-tpe-median-2",
        "optuna-tpe-median-3",
    ]
    specs = parse_searchers(["optuna:tpe", "optuna:random+none", "random"])
    assert [spec.name for spec in specs] == ["optuna-tpe-median", "optuna-random-none", "random"]
    with pytest.raises(BadInputError, match="'optuna:tpe' is listed twice"):
        parse_searchers(["optuna", "optuna:tpe"])


def test_the_factory_makes_what_is_named() -> None:
    study = make_study()
    for text in ("optuna:tpe+hyperband", "keras_tuner:random", "random"):
        (spec,) = parse_searchers([text])
        searcher = make_searcher(spec, study)
        proposal = searcher.ask(0)
        assert isinstance(proposal, Proposal)
        assert proposal.params == study.baseline
        searcher.tell(0, make_result((), TrialState.FAILED))


def test_a_deferred_searcher_is_made_once_and_late_and_restored() -> None:
    made: list[Searcher] = []

    def make() -> Searcher:
        made.append(RandomSearcher("r", SMALL, 11, {"units": 1}))
        return made[-1]

    trials = [make_trial(f"r-{n:03d}", number=n, params={"units": n + 1}) for n in range(5)]
    searcher = DeferredSearcher("r", make)
    searcher.restore([TrialRecord(trial=trial, result=make_result()) for trial in trials])
    assert not made
    searcher.prepare()
    searcher.prepare()
    assert len(made) == 1
    proposal = searcher.ask(5)
    assert isinstance(proposal, Proposal) and proposal.params == {"units": 6}, "the only one left"


def test_a_deferred_searcher_that_refuses_its_trials_refuses_them_again() -> None:
    class Refuses(RandomSearcher):
        def restore(self, records: object) -> None:
            raise BadInputError("others")

    searcher = DeferredSearcher("r", lambda: Refuses("r", SMALL, 11, {"units": 1}))
    for _ in range(2):
        with pytest.raises(BadInputError, match="others"):
            searcher.prepare()


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "best"), [(OBJECTIVE, 0.9), (VAL_LOSS, 0.1)])
def test_keras_tuner_knows_which_end_is_better(objective: Objective, best: float) -> None:
    searcher = keras_tuner("random", objective)()
    assert isinstance(searcher, KerasTunerSearcher)
    for number, value in enumerate((0.5, 0.1, 0.9, 0.3)):
        ask(searcher, number)
        searcher.report(number, make_measurement(1, value, val_loss=value))
        searcher.tell(number, replace(make_result([0.5]), value=value))
    (trial,) = searcher._oracle.get_best_trials(1)
    assert trial.score == best


@pytest.mark.slow
def test_a_failed_trial_is_no_answer_to_keras_tuner_whatever_it_measured() -> None:
    searcher = keras_tuner("random")()
    assert isinstance(searcher, KerasTunerSearcher)
    for number, state in enumerate((TrialState.COMPLETED, TrialState.FAILED)):
        ask(searcher, number)
        searcher.tell(number, make_result([0.5 + 0.1 * number], state))
    assert [trial.score for trial in searcher._oracle.get_best_trials(2)] == [0.5, None]


def test_optuna_learns_how_each_trial_ended_and_no_repeat_stays_open() -> None:
    searcher = optuna()(space=SMALL, first={"units": 1})
    assert isinstance(searcher, OptunaSearcher)
    ended = (TrialState.PRUNED, TrialState.FAILED, *[TrialState.COMPLETED] * 3)
    for number, state in enumerate(ended):
        ask(searcher, number)
        searcher.report(number, make_measurement(1, 0.5))
        searcher.tell(number, make_result([0.5], state))
    ask(searcher, 5)
    trials = searcher._study.trials
    states = [trial.state.name for trial in trials]
    assert states.count("PRUNED") == 1
    assert states.count("COMPLETE") == 3
    # Repeats that the sampler drew are closed; only the last trial is open.
    assert states.count("RUNNING") == 1 and states[-1] == "RUNNING"


WIDE = SearchSpace.model_validate(
    {
        "size": {"type": "int", "low": 0, "high": 2**40, "step": 1},
        "many": {"type": "int", "low": 1, "high": 2**40, "log": True},
        "fine": {"type": "float", "low": 0.0, "high": 1.0, "step": 1e-7},
    }
)


@pytest.mark.parametrize(
    "make",
    [
        optuna(),
        pytest.param(optuna(sampler="cmaes"), marks=pytest.mark.full),
        pytest.param(optuna(sampler="qmc"), marks=pytest.mark.full),
        pytest.param(keras_tuner("bayesian"), marks=pytest.mark.full),
        keras_tuner("random"),
        lambda space, first: RandomSearcher("r", space, 11, first),
    ],
    ids=["tpe", "cmaes", "qmc", "bayesian", "random oracle", "random"],
)
def test_wide_ranges_cost_nothing(make: Any) -> None:
    first = {"size": 2**40, "many": 1, "fine": 1e-7}
    searcher = make(space=WIDE, first=first)
    tracemalloc.start()
    for number in range(8):
        proposal = ask(searcher, number)
        assert WIDE.canonical(proposal.params) == proposal.params
        searcher.tell(number, make_result([0.5 + number / 100]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6, "none of them is listed"


@pytest.mark.parametrize("sampler", ["grid", "brute"])
def test_an_algorithm_that_lists_every_configuration_refuses_too_many(sampler: str) -> None:
    with pytest.raises(ValueError, match="lists every configuration; there are"):
        optuna(sampler=sampler)(space=WIDE, first={"size": 1, "many": 1, "fine": 0.0})
