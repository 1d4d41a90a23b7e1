"""Memory and disk over many trials of ever new shapes: do they stay flat?

``python -m benchmarks.memory --figure memory.svg`` runs a study of 200 trials on generated data,
looks at driver and workers twice a second, and prints a table.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.machine import describe

ROOT = Path(__file__).parents[1]
MIB = 2**20

STUDY = """
name: memory
task: pipelines.imdb.task:ImdbTask
task_options: {num_words: 2000, max_len: 32}
space:
  embedding_dim: {type: int, low: 8, high: 32, step: 1}
  units: {type: int, low: 8, high: 32, step: 1}
fixed: {spatial_dropout: 0.0, dropout: 0.1, recurrent_dropout: 0.0}
training: {batch_size: 64}
baseline: {embedding_dim: 8, units: 8}
searchers: [random]
budget: {trials: TRIALS, epochs: 1}
confirm: {seeds: 2, top_k: 1}
keep_models: confirmed
registered_model: memory
"""


@dataclass
class Samples:
    """Resident memory in MiB after so many ended trials, of the driver and of each worker."""

    trials: list[int] = field(default_factory=list)
    driver: list[float] = field(default_factory=list)
    workers: list[list[float]] = field(default_factory=list)
    pids: set[int] = field(default_factory=set)


def watch(process: "subprocess.Popen[str]", lines: list[str]) -> Samples:
    samples = Samples()
    driver = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            workers = [
                child for child in driver.children() if "spawn_main" in " ".join(child.cmdline())
            ]
            memory = [worker.memory_info().rss / MIB for worker in workers]
            own = driver.memory_info().rss / MIB
        except psutil.Error:
            continue
        samples.trials.append(sum("completed" in line for line in lines))
        samples.driver.append(own)
        samples.workers.append(sorted(memory))
        samples.pids |= {worker.pid for worker in workers}
        time.sleep(0.5)
    return samples


def size_mb(folder: Path) -> float:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / MIB


def around(samples: Samples, trials: int) -> tuple[float, float]:
    """Driver's and largest worker's memory at about so many trials."""
    near = [i for i, n in enumerate(samples.trials) if abs(n - trials) <= 5]
    driver = [samples.driver[i] for i in near]
    worker = [max(samples.workers[i]) for i in near if samples.workers[i]]
    return max(driver, default=float("nan")), max(worker, default=float("nan"))


def draw(samples: Samples, file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    axes.plot(samples.trials, samples.driver, label="driver")
    for slot in range(max(map(len, samples.workers))):
        memory = [each[slot] if slot < len(each) else float("nan") for each in samples.workers]
        axes.plot(samples.trials, memory, label=f"worker {slot + 1}")
    axes.set(xlabel="trials done", ylabel="resident memory (MiB)", ylim=(0, None))
    axes.legend(frameon=False, ncols=3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "study.yaml").write_text(STUDY.replace("TRIALS", str(options.trials)))
        command = [sys.executable, "-m", "tuning", "tune", "--study", "study.yaml"]
        command += ["--dataset", "synthetic", "--cache-dir", "cache"]
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": uri},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        lines: list[str] = []
        output = process.stdout
        assert output is not None
        reader = threading.Thread(target=lambda: lines.extend(iter(output.readline, "")))
        reader.start()
        samples = watch(process, lines)
        reader.join()
        if process.returncode:
            print("".join(lines), file=sys.stderr)
            return 1
        print(describe())
        print("| trials done | driver (MiB) | largest worker (MiB) |\n|---|---|---|")
        for trials in sorted({10, 50, 100, 150, options.trials - 5}):
            if trials <= options.trials:
                driver, worker = around(samples, trials)
                print(f"| {trials} | {driver:.0f} | {worker:.0f} |")
        replaced = len(samples.pids) - max(map(len, samples.workers))
        print(f"\nworkers replaced: {replaced}")
        models = len(list((folder / "mlruns").rglob("model.keras")))
        print(
            f"models kept: {models}; trials' files left: {size_mb(folder / 'cache/trials'):.1f} MB"
        )
        for part in ("mlruns", "mlflow.db", "cache/compiled"):
            at = folder / part
            megabytes = size_mb(at) if at.is_dir() else at.stat().st_size / MIB
            print(f"{part}: {megabytes:.0f} MB")
        if options.figure:
            draw(samples, options.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
