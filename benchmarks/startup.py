"""How long a user waits before anything happens: ``python -m benchmarks.startup``."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machine import describe

ROOT = Path(__file__).parents[1]
ROUNDS = 7
JAX = "import os; os.environ['KERAS_BACKEND'] = 'jax'"
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "--help": ["-m", "pipelines.tune", "--help"],
    "a wrong parameter": ["-m", "pipelines.tune", "--trials", "-3"],
    "a wrong searcher": ["-m", "pipelines.tune", "--searchers", "nothing"],
    "import mlflow": ["-c", "import mlflow"],
    "import keras (JAX)": ["-c", f"{JAX}; import keras"],
    "import keras in a worker": [
        "-c",
        f"{JAX}; from tuning.keras_import import *; import_keras()",
    ],
}


def seconds(arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, check=False)
    return time.perf_counter() - began


def main() -> None:
    print(describe())
    print("| command | median (s) | range (s) |\n|---|---|---|")
    for name, arguments in COMMANDS.items():
        times = [seconds(arguments) for _ in range(ROUNDS)]
        median = statistics.median(times)
        print(f"| {name} | {median:.2f} | {min(times):.2f} to {max(times):.2f} |")


if __name__ == "__main__":
    main()
