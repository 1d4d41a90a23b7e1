"""What a trial costs us where training costs nothing: ``python -m benchmarks.scale``.

A driver, a searcher and the tracker work on trials whose epochs come at once, on an empty SQLite
store. The cost of a trial has to stay flat as trials accumulate. Then the record is read back and
the report made of it. With ``--server`` the same goes through an MLflow server instead, by one and
by several writers.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.machine import describe
from tuning.core.interfaces import Finished, Measured
from tuning.core.task import DataInfo
from tuning.core.trial import (
    Decision,
    Measurement,
    Phase,
    Proposal,
    Trial,
    TrialResult,
    TrialState,
)
from tuning.driver.driver import Driver
from tuning.driver.failures import FailurePolicy
from tuning.driver.source import TrialSource
from tuning.search.factory import make_searcher
from tuning.search.fixed_searcher import FixedSearcher
from tuning.search.names import parse_searchers
from tuning.study.file import Study, parse_study

if TYPE_CHECKING:
    from tuning.tracking.tracker import MlflowTracker

STUDY = """
name: scale
task: benchmarks.scale:None
space:
  embedding_dim: {type: int, low: 8, high: 512}
  units: {type: int, low: 8, high: 512}
  dropout: {type: float, low: 0.0, high: 0.5}
baseline: {embedding_dim: 32, units: 32, dropout: 0.0}
budget: {trials: 1, epochs: 3}
registered_model: scale
"""


class InstantExecutor:
    """Trials whose epochs are there as soon as they are submitted."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._running: set[str] = set()
        self._events: deque[Measured | Finished] = deque()

    @property
    def slots(self) -> int:
        return self._slots

    @property
    def free_slots(self) -> int:
        return self._slots - len(self._running)

    def submit(self, trial: Trial) -> None:
        self._running.add(trial.name)
        quality = 0.9 - abs(float(trial.params["units"]) - 200) / 1000
        measurements = tuple(
            Measurement(
                step=step,
                metrics={
                    "loss": 1 - quality,
                    "accuracy": quality,
                    "val_loss": 1 - quality,
                    "val_accuracy": quality - 0.01 * (trial.epochs - step),
                    "epoch_seconds": 1.0,
                },
                elapsed_s=float(step),
            )
            for step in range(1, trial.epochs + 1)
        )
        for measurement in measurements:
            self._events.append(
                Measured(name=trial.name, attempt=trial.attempt, measurement=measurement)
            )
        result = TrialResult(
            state=TrialState.COMPLETED,
            value=quality,
            best_step=trial.epochs,
            measurements=measurements,
            duration_s=float(trial.epochs),
        )
        self._events.append(Finished(name=trial.name, attempt=trial.attempt, result=result))

    def poll(self, timeout_s: float) -> Sequence[Measured | Finished]:
        event = self._events.popleft()
        if isinstance(event, Finished):
            self._running.discard(event.name)
        return [event]

    def reply(self, name: str, decision: Decision) -> None:
        pass

    def cancel(self, name: str, reason: str) -> None:
        pass

    def close(self) -> None:
        pass


class Stopwatch:
    """Notes when a listener before it was done with each trial."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def trial_started(self, trial: Trial) -> None:
        pass

    def measured(self, trial: Trial, measurement: Measurement) -> None:
        pass

    def trial_finished(self, trial: Trial, result: TrialResult) -> None:
        self.times.append(time.perf_counter())


def marks(trials: int) -> list[int]:
    return [mark for mark in (100, 1_000, 3_000, 10_000) if mark <= trials] or [trials]


def searching(study: Study, name: str, trials: int) -> list[str]:
    """Driver and searcher alone."""
    (spec,) = parse_searchers([name])
    watch = Stopwatch()
    driver = Driver(InstantExecutor(2), [watch], study_seed=0, fixed={}, policy=FailurePolicy())
    began = time.perf_counter()
    driver.run(
        [TrialSource(make_searcher(spec, study), Phase.SEARCH, study.budget.epochs, trials)]
    )
    return costs(began, watch.times, trials)


def track(study: Study, address: str, writers: int = 1) -> "tuple[MlflowTracker, Any, str]":
    """A tracker of a new study, its client and its parent run."""
    from tuning.tracking.reader import write_head
    from tuning.tracking.store import get_experiment, open_store
    from tuning.tracking.tracker import MlflowTracker

    client = open_store(address)
    experiment = get_experiment(client, study.name)
    parent = client.create_run(experiment).info.run_id
    data = DataInfo(label="none", name="none", source="none", digest="0" * 64, sizes={})
    write_head(client, parent, study, study, data)
    tracker = MlflowTracker(client, experiment, parent, study, data, writers=writers)
    return tracker, client, parent


def tracking(study: Study, trials: int, folder: Path) -> tuple[list[str], str, str]:
    """Driver, random search and the whole of the tracker; then reading and reporting."""
    from tuning.evaluation.comparison import compare
    from tuning.report.report import write_report
    from tuning.tracking.reader import read_record

    os.chdir(folder)
    tracker, client, parent = track(study, f"sqlite:///{folder / 'mlflow.db'}")

    class Flush(Stopwatch):
        def trial_finished(self, trial: Trial, result: TrialResult) -> None:
            # Without it the queue would hide what the store takes.
            tracker.flush()
            super().trial_finished(trial, result)

    (spec,) = parse_searchers(["random"])
    watch = Flush()
    driver = Driver(
        InstantExecutor(2), [tracker, watch], study_seed=0, fixed={}, policy=FailurePolicy()
    )
    began = time.perf_counter()
    driver.run(
        [TrialSource(make_searcher(spec, study), Phase.SEARCH, study.budget.epochs, trials)]
    )
    # The report wants one to compare with.
    baseline = FixedSearcher("baseline", [Proposal(params=study.baseline)])
    driver.run([TrialSource(baseline, Phase.BASELINE, study.budget.epochs)])
    tracker.close()
    written = costs(began, watch.times, trials)
    began = time.perf_counter()
    record = read_record(client, parent)
    assert len(record.trials) == trials + 1
    reading = time.perf_counter() - began
    began = time.perf_counter()
    write_report(record, compare(record), folder)
    return written, f"{reading:.1f}", f"{time.perf_counter() - began:.1f}"


def writing(study: Study, trials: int, address: str, writers: int) -> float:
    """Milliseconds a trial until a server has all of them, without a wait after each."""
    tracker, _, _ = track(study, address, writers)
    (spec,) = parse_searchers(["random"])
    driver = Driver(InstantExecutor(2), [tracker], study_seed=0, fixed={}, policy=FailurePolicy())
    began = time.perf_counter()
    driver.run(
        [TrialSource(make_searcher(spec, study), Phase.SEARCH, study.budget.epochs, trials)]
    )
    tracker.flush()
    spent = time.perf_counter() - began
    tracker.close()
    return 1000 * spent / trials


def through_a_server(study: Study, trials: int) -> None:
    from benchmarks.server import started
    from tuning.tracking.writers import SERVER_WRITERS

    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/mlflow.db"
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
        command += ["--artifacts-destination", f"{folder}/files", "--workers", "1", "--port"]
        print("| writers | ms per trial |\n|---|---|")
        with started(command, "/health") as port:
            for writers in (1, SERVER_WRITERS, 1, SERVER_WRITERS):
                spent = writing(study, trials, f"http://127.0.0.1:{port}", writers)
                print(f"| {writers} | {spent:.0f} |", flush=True)


def costs(began: float, times: Sequence[float], trials: int) -> list[str]:
    """Milliseconds a trial, over the fifty trials before each mark."""
    all_times = [began, *times]
    cells = []
    for mark in marks(trials):
        window = min(50, mark)
        cells.append(f"{1000 * (all_times[mark] - all_times[mark - window]) / window:.1f}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--searchers", default="random,optuna:tpe,keras_tuner:random")
    parser.add_argument("--server", action="store_true")
    options = parser.parse_args()
    study = parse_study(yaml.safe_load(STUDY), "scale")
    print(describe())
    if options.server:
        return through_a_server(study, options.trials)
    heads = [f"ms per trial at {mark:,}" for mark in marks(options.trials)]
    print(f"| | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for name in options.searchers.split(","):
        cells = searching(study, name, options.trials)
        print(f"| driver and `{name}` | {' | '.join(cells)} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        written, read, reported = tracking(study, options.trials, Path(folder))
    print(f"| driver, `random` and MLflow | {' | '.join(written)} |")
    print(f"\n{options.trials:,} trials: {read} s to read the record, {reported} s to report")


if __name__ == "__main__":
    main()
