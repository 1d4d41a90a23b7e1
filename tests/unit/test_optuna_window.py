"""TPE's window: nothing changes in studies of a usual size, and the best are never forgotten."""

import random

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from tuning.search import optuna_window
from tuning.search.optuna_window import WindowedTPESampler, _Window

optuna.logging.set_verbosity(optuna.logging.WARNING)


def study_of(count: int, sampler: TPESampler, direction: str = "maximize") -> optuna.Study:
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
    direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_window, "BEST", 10)
    monkeypatch.setattr(optuna_window, "NEWEST", 40)
    study = study_of(500, WindowedTPESampler(seed=1), direction)
    running = study.ask()
    for _ in range(60):
        study.tell(study.ask(), -1.0)
    kept = {trial.number for trial in _Window(study)._get_trials(deepcopy=False)}
    assert len(kept) == 10 + 40 + 1
    assert running.number in kept
    assert {trial.number for trial in study.trials[-40:]} <= kept
    done = [t for t in study.trials[:-40] if t.state == TrialState.COMPLETE]
    ranked = sorted(done, key=lambda t: t.value or 0.0, reverse=direction == "maximize")
    assert {trial.number for trial in ranked[:10]} <= kept


def test_it_still_finds_the_best_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna_window, "BEST", 20)
    monkeypatch.setattr(optuna_window, "NEWEST", 40)
    found = proposals(study_of(500, WindowedTPESampler(seed=3)), 20)
    near = sum(abs(value - 0.3) < 0.15 for value in found)
    assert near >= 15
