"""One list of trials on one worker, two, and two Ray nodes: ``python -m benchmarks.cluster``.

The nodes are on this machine, one core each, so the two workers and the two nodes have the same
hardware. Beside it, what an executor costs a trial that costs nothing.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.empty_worker import costs_nothing
from benchmarks.machine import describe
from benchmarks.speed.workload import BATCH_SIZE, CONFIGS, Job, prepare
from tuning.core.interfaces import Executor
from tuning.core.trial import Phase, Proposal, TrialState
from tuning.driver.driver import Driver
from tuning.driver.source import TrialSource
from tuning.executors.local import LocalExecutor
from tuning.executors.ray.executor import RayExecutor
from tuning.search.fixed_searcher import FixedSearcher
from tuning.study.sections import Objective, Training
from tuning.training.messages import WorkerSpec

ROOT = Path(__file__).parents[1]
LEARNING_RATE = 0.001


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="auto")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--empty", type=int, default=500, help="trials that cost nothing")
    options = parser.parse_args()
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    print(f"{describe()}\n{len(CONFIGS)} configurations of {options.epochs} epochs\n")
    print("| | start (s) | trials (s) | faster by | ms per trial that costs nothing |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        job = prepare(options.dataset, options.epochs, Path(name, "cache"))
        rows: list[tuple[str, Callable[..., Executor]]] = [
            ("1 local worker", lambda **o: LocalExecutor(**o, workers=1)),
            ("2 local workers", lambda **o: LocalExecutor(**o, workers=2)),
            ("Ray on this machine, 2 workers", lambda **o: RayExecutor(**o, workers=2)),
        ]
        first = 0.0
        for label, make in rows:
            first = row(label, make, job, options, Path(name), first)
        with two_nodes() as address:
            row(
                "2 Ray nodes",
                lambda **o: RayExecutor(**o, workers=2, address=address, shared=False),
                job,
                options,
                Path(name),
                first,
            )


def row(
    label: str,
    make: Callable[..., Executor],
    job: Job,
    options: argparse.Namespace,
    folder: Path,
    first: float,
) -> float:
    """Measures and prints one executor; the seconds of the first row."""
    start, seconds = timed(make, real(job, folder), job.epochs, CONFIGS)
    configs = [{"number": number} for number in range(options.empty)]
    _, empty = timed(make, {"spec": spec(job, folder), "target": costs_nothing}, 5, configs)
    first = first or seconds
    cells = [label, f"{start:.1f}", f"{seconds:.1f}", f"{first / seconds:.2f}×"]
    print(f"| {' | '.join(cells)} | {1000 * empty / options.empty:.1f} |", flush=True)
    return first


def timed(
    make: Callable[..., Executor], told: dict[str, Any], epochs: int, configs: list[dict[str, Any]]
) -> tuple[float, float]:
    """Seconds until a slot is free, and from then to the end of all trials."""
    began = time.perf_counter()
    executor = make(**told)
    try:
        while executor.free_slots < executor.slots:
            executor.poll(0.1)
        ready = time.perf_counter()
        fixed = {"batch_size": BATCH_SIZE, "learning_rate": LEARNING_RATE}
        driver = Driver(executor, [], study_seed=0, fixed=fixed)
        searcher = FixedSearcher("fixed", [Proposal(params=params) for params in configs])
        records = driver.run([TrialSource(searcher, Phase.SEARCH, epochs)])
        assert all(each.result.state is TrialState.COMPLETED for each in records)
        return ready - began, time.perf_counter() - ready
    finally:
        executor.close()


def spec(job: Job, folder: Path) -> WorkerSpec:
    return WorkerSpec(
        task="pipelines.imdb.task:ImdbTask",
        task_options={
            "prepared": Path(job.prepared),
            "num_words": job.num_words,
            "max_len": job.max_len,
        },
        objective=Objective(),
        backend="jax",
        training=Training(batch_size="batch_size"),
        # A new one each time, for nobody is to find the checkpoints of another.
        folder=tempfile.mkdtemp(dir=folder),
        path=(str(ROOT),),
    )


def real(job: Job, folder: Path) -> dict[str, Any]:
    return {"spec": spec(job, folder)}


@contextmanager
def two_nodes() -> Iterator[str]:
    """A cluster of two nodes on this machine; its address."""
    os.environ["PYTHONPATH"] = str(ROOT)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
