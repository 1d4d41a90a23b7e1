"""Searches in virtual time: what each finds, what it spends, and that its budget holds."""

import statistics
from collections import Counter
from typing import Any

import pytest

from tests.search.surrogate import Surrogate, search
from tuning.core.trial import TrialState, config_hash

SECONDS = 1_500.0
REPETITIONS = 18
SEARCHERS = ["optuna:tpe+none", "optuna:cmaes+none", "optuna:qmc+none", "optuna+median"]
SEARCHERS += ["optuna+hyperband", "optuna+asha", "keras_tuner:hyperband", "keras_tuner:random"]


def quality(test: Any) -> Any:
    """Marks a test of what the libraries find, and not only of this project: minutes each."""
    return pytest.mark.full(pytest.mark.timeout(900)(test))


def regrets(
    searcher: str, repetitions: int = REPETITIONS, seconds: float = SECONDS
) -> list[float]:
    model = Surrogate()
    return [
        search(searcher, seed=1_000 * r + 7, seconds=seconds, trials=1_000).regret(model)
        for r in range(repetitions)
    ]


@pytest.fixture(scope="module")
def random_regrets() -> list[float]:
    return regrets("random")


@quality
@pytest.mark.parametrize("searcher", SEARCHERS)
def test_no_searcher_is_worse_than_random_search_in_equal_time(
    searcher: str, random_regrets: list[float]
) -> None:
    from scipy.stats import mannwhitneyu

    found = regrets(searcher)
    worse = mannwhitneyu(found, random_regrets, alternative="greater")
    assert worse.pvalue > 0.01, (
        f"mean regret {statistics.mean(found):.4f}, of random search "
        f"{statistics.mean(random_regrets):.4f}"
    )


@quality
def test_bayesian_optimisation_is_not_worse_than_random_search_in_equal_time() -> None:
    """As above, but shorter: KerasTuner takes a second and more to fit its Gaussian process."""
    from scipy.stats import mannwhitneyu

    found, at_random = (
        regrets(searcher, repetitions=9, seconds=600.0)
        for searcher in ("keras_tuner:bayesian", "random")
    )
    assert mannwhitneyu(found, at_random, alternative="greater").pvalue > 0.01


@quality
def test_the_test_above_would_notice(random_regrets: list[float]) -> None:
    from scipy.stats import mannwhitneyu

    model = Surrogate()
    few = [
        search("random", seed=1_000 * r + 7, seconds=SECONDS / 5, trials=1_000).regret(model)
        for r in range(REPETITIONS)
    ]
    assert mannwhitneyu(few, random_regrets, alternative="greater").pvalue < 0.01


@quality
def test_tpe_is_better_than_random_search(random_regrets: list[float]) -> None:
    assert statistics.mean(regrets("optuna:tpe+none")) < statistics.mean(random_regrets)


@pytest.mark.parametrize(
    "searcher", ["random", "optuna", "optuna:cmaes+hyperband", "optuna:brute"]
)
@pytest.mark.parametrize("loss_rate", [0.0, 0.1])
def test_n_trials_are_n_trials(searcher: str, loss_rate: float) -> None:
    done = search(searcher, trials=17, workers=3, loss_rate=loss_rate)
    assert len(done.records) == 17
    assert len({record.trial.number for record in done.records}) == 17


def test_the_order_of_completion_does_not_change_what_random_search_proposes() -> None:
    studies = [
        search("random", seed=5, workers=1),
        search("random", seed=5, workers=4, speeds=(1.0, 0.2, 3.0)),
        search("random", seed=5, workers=3, loss_rate=0.05),
    ]
    proposed = [
        {record.trial.number: (record.trial.params, record.trial.seed) for record in done.records}
        for done in studies
    ]
    assert proposed[0] == proposed[1] == proposed[2]
    assert [r.trial.number for r in studies[1].records] != list(range(30)), "they overtook"


def test_hyperband_trains_no_epoch_twice_and_saves_what_it_should() -> None:
    done = search("keras_tuner:hyperband", trials=40, workers=3)
    by_name = {record.trial.name: record for record in done.records}
    promoted = [record for record in done.records if record.trial.resume_from]
    assert promoted
    for record in promoted:
        parent = by_name[record.trial.resume_from or ""]
        assert parent.trial.params == record.trial.params
        assert record.result.inherited == parent.trial.epochs
        steps = [measurement.step for measurement in record.result.measurements]
        assert steps == list(range(1, record.trial.epochs + 1)), "one unbroken curve"
    reached: Counter[str] = Counter()
    for record in done.records:
        key = config_hash(record.trial.params)
        reached[key] = max(reached[key], record.trial.epochs)
    trained = sum(len(r.result.measurements) - r.result.inherited for r in done.records)
    # A configuration may be drawn again by a later bracket, which begins it anew.
    assert trained >= sum(reached.values())
    assert trained < 0.6 * 9 * len(reached), "a full training of each would cost much more"


def test_pruning_saves_epochs() -> None:
    done = search("optuna+median", trials=40)
    pruned = [r for r in done.records if r.result.state is TrialState.PRUNED]
    assert len(pruned) >= 5
    assert all(len(record.result.measurements) > 2 for record in pruned), "after the warm-up"


def test_no_worker_idles_while_one_searcher_waits() -> None:
    done = search("keras_tuner:hyperband,optuna,random", trials=40, workers=6)
    assert len(done.records) == 120
    assert done.idle < 0.1


def test_searchers_share_one_training_of_a_configuration() -> None:
    done = search("optuna,random,keras_tuner:random", trials=3)
    reused = [record for record in done.records if record.result.reused_from]
    assert {record.trial.number for record in reused} == {0}
    assert len(reused) == 2


def test_a_search_ends_at_its_deadline_within_an_epoch() -> None:
    done = search("random", seconds=300.0, trials=1_000, workers=4)
    longest = max(Surrogate().seconds(record.trial) for record in done.records)
    assert 300.0 <= done.seconds <= 300.0 + longest


def test_a_driver_that_takes_time_keeps_its_workers_waiting() -> None:
    """Every call of the clock takes a tenth of a second of the driver's."""
    calls = iter(range(10**9))
    free = search("random", trials=20, workers=4)
    busy = search("random", trials=20, workers=4, driver_clock=lambda: next(calls) * 0.1)
    assert busy.seconds > free.seconds
    assert busy.idle > free.idle
