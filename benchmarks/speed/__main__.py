"""Times us against the plain scripts: ``python -m benchmarks.speed --epochs 3 --rounds 3``.

Every round runs all contenders one after the other on the same machine, each from a cold process
and an empty store. Ratios within a round mean something on a noisy machine; seconds less so. The
time to a quality is shown twice: to a fixed one, and to the best that the Optuna script found.
What workers lose to each other on shared cores or a shared GPU is time in fit, not outside it.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks.machine import describe
from benchmarks.speed.workload import CONFIGS, FIT_SECONDS, WORKERS, Job, dumps, prepare

ROOT = Path(__file__).parents[2]
# What the scripts train with; KERAS_BACKEND=jax is for machines whose GPU is JAX's only.
BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")
SCRIPT = f"Optuna, Keras on {BACKEND}, MLflow"
CONTENDERS = {
    "ours": "ours",
    SCRIPT: "plain_optuna",
    f"KerasTuner, Keras on {BACKEND}": "plain_keras_tuner",
}
# Not a dependency of ours: KerasTuner's search asks for it on TensorFlow.
NEEDS = {"plain_keras_tuner": "tensorboard"}
MIB = 2**20


@dataclass(frozen=True)
class Measured:
    """One run of one contender.

    Attributes:
        total_s: Seconds.
        peak_mib: Memory, in MiB.
        fit_s: Seconds in `fit`, of all workers together.
        workers: How many train at once.
        curve: Seconds from the start and validation accuracy of every epoch, in order.
    """

    total_s: float
    peak_mib: float
    fit_s: float
    workers: int
    curve: Sequence[tuple[float, float]] = field(repr=False)

    @property
    def outside_fit(self) -> float | None:
        """The share of the workers' time that was not spent in `fit`."""
        return 1 - self.fit_s / (self.workers * self.total_s) if self.fit_s else None

    @property
    def best(self) -> float | None:
        """The best validation accuracy of any epoch."""
        return max((value for _, value in self.curve), default=None)

    def reached(self, target: float | None) -> float | None:
        """Seconds until an epoch was as good as that."""
        if target is None:
            return None
        return next((seconds for seconds, value in self.curve if value >= target), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="auto")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--without", nargs="*", default=[], choices=[*CONTENDERS.values()], metavar="NAME"
    )
    parser.add_argument("--workers-per-gpu", type=int, default=1, help="of ours, on a GPU")
    parser.add_argument("--target", type=float, default=0.86, help="validation accuracy")
    options = parser.parse_args()
    print(f"{describe()}\n{len(CONFIGS)} configurations of {options.epochs} epochs", flush=True)
    contenders = {n: m for n, m in CONTENDERS.items() if m not in options.without}
    for name, module in [*contenders.items()]:
        if module in NEEDS and importlib.util.find_spec(NEEDS[module]) is None:
            print(f"left out: {name}, which needs {NEEDS[module]}", file=sys.stderr)
            del contenders[name]
    found: dict[str, list[Measured]] = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as name:
        job = prepare(options.dataset, options.epochs, Path(name, "cache"))
        job = replace(job, workers_per_gpu=options.workers_per_gpu)
        for number in range(options.rounds):
            for contender, module in contenders.items():
                folder = Path(name, f"{module}-{number}")
                folder.mkdir()
                measured = run(module, job, folder)
                found[contender].append(measured)
                print(f"round {number + 1}: {contender}: {measured}", file=sys.stderr, flush=True)
    print(table(found, options.target))


def run(module: str, job: Job, folder: Path) -> Measured:
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    command = [sys.executable, "-m", f"benchmarks.speed.{module}", "--job"]
    log = folder / "log.txt"
    began = time.time()
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*command, dumps(replace(job, uri=uri))], cwd=ROOT, stdout=stream, stderr=stream
        )
        peak = watch(psutil.Process(process.pid))
    total = time.time() - began
    if process.wait():
        raise SystemExit(log.read_text())
    points: list[tuple[float, float]] = []
    fit, workers = 0.0, 1
    if Path(folder, "mlflow.db").exists():
        points = curve(uri)
        fit, workers = fit_seconds(uri)
    return Measured(total, peak, fit, workers, [(when - began, value) for when, value in points])


def watch(process: psutil.Process) -> float:
    """The most memory that the process and its children held together, until it ends."""
    peak = 0.0
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        total = 0
        for each in [process, *process.children(recursive=True)]:
            try:
                total += each.memory_info().rss
            except psutil.Error:
                continue
        peak = max(peak, total / MIB)
        time.sleep(0.2)
    return peak


def curve(uri: str) -> list[tuple[float, float]]:
    """When each epoch in a store ended, and its validation accuracy."""
    return sorted((m.timestamp / 1000, m.value) for m in _metrics(uri, "val_accuracy"))


def fit_seconds(uri: str) -> tuple[float, int]:
    """Seconds in `fit` of all trials in a store, and how many workers there were for them."""
    seconds = sum(m.value for name in (FIT_SECONDS, "epoch_seconds") for m in _metrics(uri, name))
    return seconds, max(int(run.data.tags.get(WORKERS, 1)) for _, run in _runs(uri))


def _metrics(uri: str, name: str) -> Iterator[Any]:
    for client, run in _runs(uri):
        yield from client.get_metric_history(run.info.run_id, name)


def _runs(uri: str) -> Iterator[tuple[Any, Any]]:
    """Every run of a store, and the client to ask for more of it."""
    import mlflow

    client = mlflow.MlflowClient(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    for run in client.search_runs(experiments):
        yield client, run


def table(found: dict[str, list[Measured]], target: float) -> str:
    ours, script = found["ours"], found.get(SCRIPT, [])
    lines = [
        f"| | total (s) | ours is faster by | outside fit | to {target:.0%} (s) "
        "| to the script's best (s) | peak memory (MiB) | best |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for contender, runs in found.items():
        ratios = [run.total_s / our.total_s for run, our in zip(runs, ours, strict=True)]
        reached = [s for run in runs if (s := run.reached(target)) is not None]
        # Round by round: what the script finds differs a little from one to the next.
        equal = [
            s
            for run, other in zip(runs, script, strict=False)
            if (s := run.reached(other.best)) is not None
        ]
        best = [run.best for run in runs if run.best is not None]
        outside = [share for run in runs if (share := run.outside_fit) is not None]
        cells = [
            contender,
            spread([run.total_s for run in runs], "{:.0f}"),
            spread(ratios, "{:.2f}×"),
            spread(outside, "{:.1%}"),
            spread(reached, "{:.0f}"),
            spread(equal, "{:.0f}"),
            f"{max(run.peak_mib for run in runs):.0f}",
            f"{max(best):.4f}" if best else "not logged",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: Sequence[float], form: str) -> str:
    """Median, and the range where there is one."""
    if not values:
        return "–"
    middle = form.format(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({form.format(min(values))} to {form.format(max(values))})"


if __name__ == "__main__":
    main()
