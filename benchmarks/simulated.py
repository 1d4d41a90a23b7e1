"""A study on a thousand workers, without them: ``python -m benchmarks.simulated``.

The real driver and the real searchers run trials in virtual time, whose curves and seconds come
from real ones (``benchmarks.curves``). The driver's own seconds pass in virtual time too, so that
workers idle while they wait for it. The tracker is a list in memory; what MLflow adds is measured
by ``benchmarks.scale``.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Sequence

import psutil
import yaml

from benchmarks.curves import load
from benchmarks.machine import describe
from tuning.core.trial import Measurement, Phase, Trial, TrialResult, TrialState
from tuning.driver.driver import Driver
from tuning.driver.source import TrialSource
from tuning.executors.simulated import SimulatedExecutor
from tuning.search.factory import make_searcher
from tuning.search.names import parse_searchers
from tuning.study.file import Study, parse_study

STUDY = """
name: simulated
task: benchmarks.simulated:None
space:
  embedding_dim: {type: int, low: 16, high: 128}
  units: {type: int, low: 16, high: 96}
  spatial_dropout: {type: float, low: 0.0, high: 0.5}
  dropout: {type: float, low: 0.0, high: 0.5}
  recurrent_dropout: {type: float, low: 0.0, high: 0.4}
baseline:
  {embedding_dim: 32, units: 32, spatial_dropout: 0.0, dropout: 0.0, recurrent_dropout: 0.0}
budget: {trials: 1, epochs: 5}
registered_model: simulated
"""
HEADS = (
    "searcher",
    "workers",
    "trials",
    "driver (ms per trial)",
    "idle (%)",
    "delay of an epoch (ms)",
    "99% of delays (ms)",
    "hours",
    "memory (MiB)",
    "lost",
)


class Memory:
    """A tracker that forgets nothing."""

    def __init__(self) -> None:
        self.started: list[Trial] = []
        self.measurements: list[Measurement] = []
        self.results: list[TrialResult] = []

    def trial_started(self, trial: Trial) -> None:
        self.started.append(trial)

    def measured(self, trial: Trial, measurement: Measurement) -> None:
        self.measurements.append(measurement)

    def trial_finished(self, trial: Trial, result: TrialResult) -> None:
        self.results.append(result)


def simulate(study: Study, searcher: str, workers: int, trials: int) -> Sequence[str]:
    """One study; the cells of its row."""
    gc.collect()
    before = psutil.Process().memory_info().rss
    executor = SimulatedExecutor(
        load(),
        workers,
        # A third of the nodes is older, and one worker in five thousand epochs is lost.
        speeds=(1.0, 1.0, 0.6),
        loss_rate=0.0002,
        driver_clock=time.perf_counter,
    )
    memory = Memory()
    driver = Driver(executor, [memory], study_seed=0, fixed={}, clock=executor.clock)
    (spec,) = parse_searchers([searcher])
    source = TrialSource(make_searcher(spec, study), Phase.SEARCH, study.budget.epochs, trials)
    began = time.perf_counter()
    driver.run([source])
    spent = time.perf_counter() - began
    assert len(memory.results) == trials == len({trial.name for trial in memory.started})
    lost = sum(trial.attempt > 0 for trial in memory.started)
    assert all(result.state is not TrialState.FAILED for result in memory.results) or lost
    held = psutil.Process().memory_info().rss - before
    idle = 1 - executor.busy_s / (executor.clock() * workers)
    delays = sorted(executor.delays_s)
    return [
        f"`{searcher}`",
        f"{workers:,}",
        f"{trials:,}",
        f"{1000 * spent / trials:.1f}",
        f"{100 * idle:.1f}",
        f"{1000 * statistics.median(delays):.1f}",
        f"{1000 * delays[int(0.99 * len(delays))]:.0f}",
        f"{executor.clock() / 3600:.2f}",
        f"{held / 2**20:.0f}",
        str(lost),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 1_000])
    parser.add_argument("--searchers", default="random,optuna:tpe+median")
    options = parser.parse_args()
    study = parse_study(yaml.safe_load(STUDY), "simulated")
    print(f"{describe()}\n\n| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}", flush=True)
    for searcher in options.searchers.split(","):
        for workers in options.workers:
            row = simulate(study, searcher, workers, options.trials)
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
