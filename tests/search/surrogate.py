"""A made-up model with the habits of the real one, and studies of it in virtual time."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import yaml

from tuning.core.seeds import derive_seed
from tuning.core.trial import Phase, Trial, TrialRecord, TrialState
from tuning.driver.driver import Driver
from tuning.driver.search_limit import SearchLimit
from tuning.driver.source import TrialSource
from tuning.executors.simulated import SimulatedExecutor
from tuning.search.factory import make_searcher
from tuning.search.names import parse_searchers
from tuning.study.file import Study, parse_study

STUDY = """
name: surrogate
task: tests.toy_task:ToyTask
space:
  embedding_dim: {type: int, low: 16, high: 128, step: 16}
  units: {type: int, low: 16, high: 96, step: 16}
  spatial_dropout: {type: float, low: 0.0, high: 0.5, step: 0.1}
  dropout: {type: float, low: 0.0, high: 0.5, step: 0.1}
  recurrent_dropout: {type: float, low: 0.0, high: 0.4, step: 0.1}
baseline:
  {embedding_dim: 32, units: 32, spatial_dropout: 0.0, dropout: 0.0, recurrent_dropout: 0.0}
budget: {trials: 30, epochs: 9}
registered_model: surrogate
"""


def surrogate_study(**changes: object) -> Study:
    return parse_study({**yaml.safe_load(STUDY), **changes}, "surrogate")


class Surrogate:
    """Accuracy peaks inside the space; strong dropout learns slowly, so early ranks mislead.

    Args:
        noise: Standard deviation between seeds.
    """

    def __init__(self, noise: float = 0.004) -> None:
        self._noise = noise

    def true_value(self, params: object) -> float:
        """What a configuration reaches in the end, without noise."""
        p: dict[str, float] = dict(params)  # type: ignore[call-overload]
        size = math.log2(p["embedding_dim"] / 64) ** 2 * 0.004
        size += math.log2(p["units"] / 48) ** 2 * 0.005
        dropout = (p["spatial_dropout"] - 0.3) ** 2 * 0.15 + (p["dropout"] - 0.2) ** 2 * 0.1
        return 0.89 - size - dropout - (p["recurrent_dropout"] - 0.1) ** 2 * 0.2

    def value(self, trial: Trial, epoch: int) -> float:
        p: dict[str, float] = dict(trial.params)
        slowness = 1 + 3 * (p["spatial_dropout"] + p["recurrent_dropout"])
        learned = 1 - math.exp(-2 * epoch / slowness)
        luck = random.Random(derive_seed(trial.seed, "luck")).gauss(0, self._noise)
        wobble = random.Random(derive_seed(trial.seed, "epoch", epoch)).gauss(0, self._noise / 2)
        return 0.5 + (self.true_value(p) - 0.5) * learned + luck + wobble

    def seconds(self, trial: Trial) -> float:
        p: dict[str, float] = dict(trial.params)
        return 2 + p["embedding_dim"] * p["units"] / 2_000 * (1 + (p["recurrent_dropout"] > 0))


@dataclass(frozen=True)
class Simulated:
    """A search that has ended.

    Attributes:
        records: Its trials in the order of their ends.
        seconds: Virtual time from beginning to end.
        idle: Share of the workers' time in which they trained nothing.
    """

    records: Sequence[TrialRecord]
    seconds: float
    idle: float

    def regret(self, model: Surrogate) -> float:
        """How much worse the configuration chosen is, in truth, than the best of the space."""
        ended = [r for r in self.records if r.result.state is TrialState.COMPLETED]
        chosen = max(ended, key=lambda record: record.result.value or 0.0)
        return 0.89 - model.true_value(chosen.trial.params)


def search(
    searcher: str,
    *,
    seed: int = 0,
    workers: int = 2,
    seconds: float | None = None,
    trials: int = 30,
    speeds: Sequence[float] = (1.0,),
    loss_rate: float = 0.0,
    driver_clock: Callable[[], float] | None = None,
) -> Simulated:
    """Searches the surrogate in virtual time."""
    study = surrogate_study(seed=seed, budget={"trials": trials, "epochs": 9})
    executor = SimulatedExecutor(
        Surrogate(),
        workers,
        speeds=speeds,
        loss_rate=loss_rate,
        seed=seed,
        driver_clock=driver_clock,
    )
    driver = Driver(executor, [], study_seed=seed, fixed={}, clock=executor.clock)
    sources = [
        TrialSource(make_searcher(spec, study), Phase.SEARCH, study.budget.epochs, trials)
        for spec in parse_searchers(searcher.split(","))
    ]
    limit = None
    if seconds is not None:
        limit = SearchLimit(study.objective, deadline=seconds, clock=executor.clock)
    records = driver.run(sources, limit)
    spent = executor.clock()
    return Simulated(records, spent, 1 - executor.busy_s / (spent * workers))
