"""Kills studies in every way, goes on with them, and counts what was lost.

``python -m tests.e2e.chaos --rounds 10 --seed 1`` prints a row of a table for each round.
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).parents[2]
TRIALS = 4
SEARCHERS = ("random", "optuna")
SEEDS = 2
# The baseline, the search, one reference and one candidate.
EXPECTED = SEEDS + len(SEARCHERS) * TRIALS + SEEDS + SEEDS
PHASES = (
    "Baseline and search",
    r"random-00\d .* val_accuracy",
    "Confirmation:",
    "confirm-.*-seed1",
    "Test split",
    "Registered",
)

STUDY = f"""
name: toy
task: tests.toy_task:ToyTask
task_options: {{rows: 4000, servable: true}}
space:
  units: {{type: int, low: 2, high: 12, step: 2}}
  rate: {{type: float, low: 0.0, high: 0.3, step: 0.1}}
training: {{batch_size: 16}}
baseline: {{units: 2, rate: 0.0}}
references:
  hand-tuned: {{units: 8, rate: 0.3}}
searchers: {list(SEARCHERS)}
budget: {{trials: {TRIALS}, epochs: 3}}
confirm: {{seeds: {SEEDS}, top_k: 1}}
registered_model: toy
"""


class Process:
    """A running ``tune``, whose lines are read as they come."""

    def __init__(
        self, folder: Path, *arguments: str, uri: str = "", cache: Path | None = None, **env: str
    ) -> None:
        self.uri = uri or f"sqlite:///{folder / 'mlflow.db'}"
        command = [sys.executable, "-m", "tuning", "tune", "--workers", "2"]
        command += [
            "--study",
            str(folder / "study.yaml"),
            "--cache-dir",
            str(cache or folder / "cache"),
        ]
        self._process = subprocess.Popen(
            [*command, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": self.uri, **env},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(iter(self._process.stdout.readline, ""))

    @property
    def output(self) -> str:
        return "".join(self.lines)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def over(self) -> bool:
        return self._process.poll() is not None

    @property
    def code(self) -> int | None:
        return self._process.poll()

    @property
    def workers(self) -> list[psutil.Process]:
        try:
            children = psutil.Process(self.pid).children()
        except psutil.Error:
            return []
        return [child for child in children if _is_worker(child)]

    def until(self, pattern: str, seconds: float = 300.0) -> bool:
        """Waits for a line; False if the process ended without it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            over = self.over
            if re.search(pattern, self.output):
                return True
            if over:
                return False
            time.sleep(0.02)
        raise TimeoutError(f"no {pattern!r} in:\n{self.output}")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, seconds: float = 600.0, linger: float = 30.0) -> int:
        """Waits for the end, and for that of every process it started, ``linger`` s at most."""
        code = self._process.wait(seconds)
        deadline = time.monotonic() + linger
        while left := list(_session(self.pid)):
            assert time.monotonic() < deadline, f"processes outlive the driver: {left}"
            time.sleep(0.1)
        self._reader.join(10)
        return code


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:  # it was killed, and nobody has noticed yet
        return False


def _session(leader: int) -> Iterator[int]:
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                yield process.pid
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue


@dataclass
class Losses:
    """What must be zero when a study is done, however often it was killed."""

    missing: int = 0
    repeated_trials: int = 0
    repeated_configurations: int = 0
    orphans: int = 0
    running: int = 0
    broken_curves: int = 0
    models_lost: int = 0
    registered_twice: int = 0
    no_report: int = 0

    @property
    def none(self) -> bool:
        return not any(getattr(self, field.name) for field in fields(self))


def losses(uri: str) -> Losses:
    """Counts what is wrong with the record of the one study in a store."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    import keras
    import mlflow
    from mlflow.artifacts import download_artifacts

    from tuning.training.keras_process import without_tensorflow

    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    parents = [run for run in runs if "tuning.study" in run.data.tags]
    trials = [run for run in runs if "tuning.trial" in run.data.tags]
    parent = parents[0]
    found = Losses(orphans=len(parents) - 1 + len(runs) - len(parents) - len(trials))
    names = Counter(run.data.tags["tuning.trial"] for run in trials)
    found.missing = EXPECTED - len(names)
    found.repeated_trials = sum(names.values()) - len(names)
    for searcher in SEARCHERS:
        configs = [
            run.data.tags["tuning.config"]
            for run in trials
            if run.data.tags["tuning.searcher"] == searcher
        ]
        found.repeated_configurations += len(configs) - len(set(configs))
    for run in trials:
        tags = run.data.tags
        found.orphans += tags["mlflow.parentRunId"] != parent.info.run_id
        found.running += run.info.status not in ("FINISHED", "KILLED")
        history = client.get_metric_history(run.info.run_id, "val_accuracy")
        steps = sorted(metric.step for metric in history)
        found.broken_curves += steps != list(range(1, len(steps) + 1)) or not steps
        if tags.get("tuning.state") == "completed":
            found.broken_curves += len(steps) != 3
            if tags.get("tuning.reused_from"):
                continue  # its model is that of its source
            with tempfile.TemporaryDirectory() as folder:
                address = f"models:/{tags['tuning.model']}"
                try:
                    local = download_artifacts(artifact_uri=address, dst_path=folder)
                    with without_tensorflow():
                        keras.saving.load_model(Path(local, "data", "model.keras"))
                except Exception:
                    found.models_lost += 1
    found.running += parent.info.status != "FINISHED"
    found.registered_twice = len(client.search_model_versions("name='toy'")) - 1
    files = {file.path for file in client.list_artifacts(parent.info.run_id, "report")}
    verdict = parent.data.tags.get("tuning.verdict")
    found.no_report = int("report/report.html" not in files or verdict is None)
    return found


def make_folder(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump({**yaml.safe_load(STUDY), **changes}))
    return folder


def check_whole(process: Process) -> None:
    """Waits for the end of a study, which must be good and whole."""
    assert process.end() == 0, process.output
    assert losses(process.uri) == Losses()


Attack = Callable[[Process, random.Random], None]


def _signal(*numbers: signal.Signals) -> Attack:
    def attack(process: Process, instants: random.Random) -> None:
        for number in numbers:
            process.send(number)
            time.sleep(0.05)

    return attack


def _kill_workers(share: float) -> Attack:
    def attack(process: Process, instants: random.Random) -> None:
        workers = process.workers
        for worker in instants.sample(workers, max(1, round(share * len(workers)))):
            worker.kill()

    return attack


ATTACKS: Mapping[str, Attack] = {
    "SIGKILL": _signal(signal.SIGKILL),
    "SIGTERM": _signal(signal.SIGTERM),
    "SIGINT": _signal(signal.SIGINT),
    "SIGINT twice": _signal(signal.SIGINT, signal.SIGINT),
    "a worker": _kill_workers(0.5),
    "all workers": _kill_workers(1.0),
}


def random_round(folder: Path, seed: int, most: int = 4) -> tuple[list[str], Process]:
    """Attacks a study up to ``most`` times at random instants, then lets it end.

    Returns:
        The attacks, and the process that ended the study.
    """
    instants = random.Random(seed)
    make_folder(folder)
    done: list[str] = []
    process = Process(folder)
    for _ in range(most):
        name = instants.choice([*ATTACKS, "SIGKILL", "SIGKILL"])
        phase = instants.choice(PHASES)
        if not process.until(phase):
            break
        time.sleep(instants.uniform(0, 0.6))
        if process.over or (name.endswith(("worker", "workers")) and not process.workers):
            continue
        ATTACKS[name](process, instants)
        done.append(f"{name} in {phase.split()[0].rstrip(':')!r}")
        if name.endswith(("worker", "workers")):
            continue
        if process.end() == 0:
            break
        process = Process(folder, "--resume", "last")
    process.end()
    if process.code != 0:
        process = Process(folder, "--resume", "last")
        process.end()
    return done, process


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    heads = ["seed", "attacks", *(field.name.replace("_", " ") for field in fields(Losses))]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads), flush=True)
    whole = True
    for seed in range(options.seed, options.seed + options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            done, process = random_round(Path(folder), seed)
            if process.code != 0:
                print(process.output, file=sys.stderr)
                return 1
            found = losses(process.uri)
        whole &= found.none
        numbers = [str(getattr(found, field.name)) for field in fields(found)]
        print(f"| {seed} | {'; '.join(done)} | {' | '.join(numbers)} |", flush=True)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
