"""How long a user waits before anything happens: ``python -m benchmarks.startup``."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machine import describe

ROOT = Path(__file__).parents[1]
ROUNDS = 7
STUDY = "pipelines/imdb/study.yaml"
JAX = "import os; os.environ['KERAS_BACKEND'] = 'jax'"
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "--help": ["-m", "tuning", "tune", "--study", STUDY, "--help"],
    "a wrong parameter": ["-m", "tuning", "tune", "--study", STUDY, "--trials", "-3"],
    "a wrong searcher": ["-m", "tuning", "tune", "--study", STUDY, "--searchers", "nothing"],
    "import mlflow": ["-c", "import mlflow"],
    "import keras (JAX)": ["-c", f"{JAX}; import keras"],
    "import keras in a worker": [
        "-c",
        f"{JAX}; from tuning.training.keras_process import import_keras; import_keras()",
    ],
}


def measure(arguments: list[str]) -> tuple[float, float, float]:
    """Wall and processor time of a process, in seconds, and its most memory, in MiB."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, process.returncode, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    print(describe())
    print("| command | median (s) | range (s) | processor time (s) | memory (MiB) |")
    print("|---|---|---|---|---|")
    for name, arguments in COMMANDS.items():
        runs = [measure(arguments) for _ in range(ROUNDS)]
        wall, processor, memory = (sorted(values) for values in zip(*runs, strict=True))
        print(
            f"| {name} | {statistics.median(wall):.2f} | {wall[0]:.2f} to {wall[-1]:.2f} "
            f"| {statistics.median(processor):.2f} | {statistics.median(memory):.0f} |"
        )


if __name__ == "__main__":
    main()
