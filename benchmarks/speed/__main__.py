"""Times us against the plain scripts: ``python -m benchmarks.speed --epochs 3 --rounds 3``.

Every round runs all contenders one after the other on the same machine, each from a cold process
and an empty store. Ratios within a round mean something on a noisy machine; seconds less so.
"""

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from benchmarks.machine import describe
from benchmarks.speed.workload import CONFIGS, Job, dumps, prepare

ROOT = Path(__file__).parents[2]
CONTENDERS = {
    "ours": "ours",
    "Optuna, TensorFlow, MLflow": "plain_optuna",
    "KerasTuner, TensorFlow": "plain_keras_tuner",
}
# Not a dependency of ours: KerasTuner's search asks for it on TensorFlow.
NEEDS = {"plain_keras_tuner": "tensorboard"}
MIB = 2**20


@dataclass(frozen=True)
class Measured:
    """One run of one contender: seconds in all and to the target, and memory in MiB."""

    total_s: float
    target_s: float | None
    peak_mib: float
    best: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="auto")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--without", nargs="*", default=[], choices=[*CONTENDERS.values()], metavar="NAME"
    )
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
        for number in range(options.rounds):
            for contender, module in contenders.items():
                folder = Path(name, f"{module}-{number}")
                folder.mkdir()
                measured = run(module, job, folder, options.target)
                found[contender].append(measured)
                print(f"round {number + 1}: {contender}: {measured}", file=sys.stderr, flush=True)
    print(table(found, options.target))


def run(module: str, job: Job, folder: Path, target: float) -> Measured:
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
    best, reached = curves(uri, target) if Path(folder, "mlflow.db").exists() else (None, None)
    return Measured(total, None if reached is None else reached - began, peak, best)


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


def curves(uri: str, target: float) -> tuple[float | None, float | None]:
    """The best validation accuracy in a store, and when one first reached the target."""
    import mlflow

    client = mlflow.MlflowClient(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    points = [
        metric
        for run in client.search_runs(experiments)
        for metric in client.get_metric_history(run.info.run_id, "val_accuracy")
    ]
    times = [metric.timestamp / 1000 for metric in points if metric.value >= target]
    return max((metric.value for metric in points), default=None), min(times, default=None)


def table(found: dict[str, list[Measured]], target: float) -> str:
    ours = found["ours"]
    lines = [
        f"| | total (s) | ours is faster by | to {target:.0%} (s) | peak memory (MiB) | best |",
        "|---|---|---|---|---|---|",
    ]
    for contender, runs in found.items():
        ratios = [run.total_s / our.total_s for run, our in zip(runs, ours, strict=True)]
        reached = [run.target_s for run in runs if run.target_s is not None]
        best = [run.best for run in runs if run.best is not None]
        cells = [
            contender,
            spread([run.total_s for run in runs], "{:.0f}"),
            spread(ratios, "{:.2f}×"),
            spread(reached, "{:.0f}"),
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
