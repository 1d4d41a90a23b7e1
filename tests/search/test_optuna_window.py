"""TPE on a large scale: nothing changes in studies of a usual size, and the best are not lost."""

import random
from typing import Any, Literal

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from tuning.search import optuna_window
from tuning.search.optuna_samplers import make_sampler
from tuning.search.optuna_window import WindowedTPESampler, _Window
from tuning.study.ranges import Float
from tuning.study.space import SearchSpace

optuna.logging.set_verbosity(optuna.logging.WARNING)

Direction = Literal["maximize", "minimize"]


def study_of(count: int, sampler: TPESampler, direction: Direction = "maximize") -> optuna.Study:
    study = optuna.create_study(direction=direction, sampler=sampler)
    numbers = random.Random(0)
    x = optuna.distributions.FloatDistribution(0, 1)
    for number in range(count):
        value = numbers.random()
        state = TrialState.PRUNED if number % 7 == 6 else TrialState.COMPLETE
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                value=-((value - 0.3) ** 2),
                params={"x": value},
                distributions={"x": x},
            )
        )
    return study


def proposals(study: optuna.Study, count: int = 5) -> list[float]:
    return [study.ask().suggest_float("x", 0, 1) for _ in range(count)]


def test_a_study_of_a_usual_size_is_searched_as_by_optuna() -> None:
    assert proposals(study_of(300, WindowedTPESampler(seed=1))) == proposals(
        study_of(300, TPESampler(seed=1))
    )


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_window_keeps_the_best_the_newest_and_what_runs(
    direction: Direction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_window, "BEST", 10)
    monkeypatch.setattr(optuna_window, "NEWEST", 40)
    study = study_of(500, WindowedTPESampler(seed=1), direction)
    running = {study.ask().number for _ in range(45)}
    for _ in range(60):
        study.tell(study.ask(), -1.0)
    running |= {study.ask().number for _ in range(45)}
    kept = {trial.number for trial in _Window(study)._get_trials(deepcopy=False)}
    assert len(kept) == 10 + 40 + 90
    assert running <= kept
    ended = [trial for trial in study.trials if trial.number not in running]
    assert {trial.number for trial in ended[-40:]} <= kept
    done = [t for t in ended[:-40] if t.state == TrialState.COMPLETE]
    ranked = sorted(done, key=lambda t: t.value or 0.0, reverse=direction == "maximize")
    assert {trial.number for trial in ranked[:10]} <= kept


def test_it_still_finds_the_best_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna_window, "BEST", 20)
    monkeypatch.setattr(optuna_window, "NEWEST", 40)
    found = proposals(study_of(500, WindowedTPESampler(seed=3)), 20)
    near = sum(abs(value - 0.3) < 0.15 for value in found)
    assert near >= 15


def test_fewer_than_a_hundred_running_trials_have_a_fit_each_as_with_optuna() -> None:
    ours, theirs = study_of(50, WindowedTPESampler(seed=1)), study_of(50, TPESampler(seed=1))
    # A hundred run when the hundredth is asked for; the next is the first of its batch.
    assert proposals(ours, 100) == proposals(theirs, 100)
    assert proposals(ours, 2) != proposals(theirs, 2)


class Counting(WindowedTPESampler):
    """Counts its fits."""

    fits = 0

    def _sample(self, *args: Any) -> dict[str, Any]:
        self.fits += 1
        found: dict[str, Any] = super()._sample(*args)
        return found


def mixed_proposal(study: optuna.Study) -> dict[str, Any]:
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.suggest_int("n", 8, 64, step=8)
    trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    trial.suggest_categorical("pooling", ["last", "max", "mean"])
    return trial.params


def mixed_study(seed: int) -> tuple[Counting, optuna.Study]:
    sampler = Counting(seed=seed, n_startup_trials=10)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(60):
        params = mixed_proposal(study)
        study.tell(
            len(study.trials) - 1, -((params["x"] - 0.3) ** 2) - (params["pooling"] != "max")
        )
    return sampler, study


def test_many_running_trials_share_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna_window, "RUNNING_PER_PROPOSAL", 4)
    sampler, study = mixed_study(seed=1)
    sampler.fits = 0
    found = [mixed_proposal(study) for _ in range(100)]
    # The first batches are short; from forty running on there are eleven proposals a fit.
    assert 10 < sampler.fits < 20
    assert len({tuple(params.items()) for params in found}) > 90
    assert all(0 <= params["x"] <= 1 and 1e-4 <= params["rate"] <= 1e-1 for params in found)
    assert {params["n"] for params in found} <= set(range(8, 65, 8))
    assert {type(params["n"]) for params in found} == {int}
    assert {params["pooling"] for params in found} <= {"last", "max", "mean"}
    assert sum(params["pooling"] == "max" for params in found) > 60
    assert sum(abs(params["x"] - 0.3) < 0.2 for params in found) > 60
    again = mixed_study(seed=1)[1]
    assert [mixed_proposal(again) for _ in range(100)] == found


def with_forty_running(monkeypatch: pytest.MonkeyPatch) -> tuple[Counting, optuna.Study]:
    """A study whose next fit serves eleven proposals."""
    monkeypatch.setattr(optuna_window, "RUNNING_PER_PROPOSAL", 4)
    sampler, study = mixed_study(seed=2)
    for _ in range(48):
        mixed_proposal(study)
    while sampler._batch:
        mixed_proposal(study)
    sampler.fits = 0
    return sampler, study


def end(study: optuna.Study, state: TrialState, count: int) -> None:
    running = [trial.number for trial in study.trials if trial.state == TrialState.RUNNING]
    for number in running[:count]:
        study.tell(number, 0.0 if state == TrialState.COMPLETE else None, state)


def test_no_proposal_misses_more_ends_than_its_batch_is_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sampler, study = with_forty_running(monkeypatch)
    mixed_proposal(study)
    assert sampler.fits == 1
    end(study, TrialState.COMPLETE, 10)
    mixed_proposal(study)
    assert sampler.fits == 1
    end(study, TrialState.COMPLETE, 1)
    mixed_proposal(study)
    assert sampler.fits == 2


def test_failures_which_no_fit_knows_leave_a_batch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler, study = with_forty_running(monkeypatch)
    for _ in range(11):
        mixed_proposal(study)
        end(study, TrialState.FAIL, 2)
    assert sampler.fits == 1
    mixed_proposal(study)
    assert sampler.fits == 2


def test_a_batch_stays_short_however_much_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna_window, "RUNNING_PER_PROPOSAL", 1)
    sampler, study = mixed_study(seed=3)
    for _ in range(220):
        mixed_proposal(study)
        assert len(sampler._batch) <= 10


def test_options_are_still_those_of_optuna() -> None:
    space = SearchSpace({"x": Float(type="float", low=0.0, high=1.0)})
    sampler = make_sampler("tpe", space, 0, {"n_ei_candidates": 12, "multivariate": False})
    assert isinstance(sampler, WindowedTPESampler)
    with pytest.raises(ValueError, match="n_startup_trails"):
        make_sampler("tpe", space, 0, {"n_startup_trails": 3})
