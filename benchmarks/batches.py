"""What TPE loses by proposing in batches: ``python -m benchmarks.batches``.

The same objective is searched with a fit for every proposal and with batches as long as they get,
each pair with one seed. Two hundred trials run at once and end in a random order, one for each
proposal. Eleven of two hundred is five times the share that eleven of a thousand is, so this is a
harder case than the one that batches are for.
"""

import argparse
import math
import random
import statistics
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import yaml

from benchmarks.machine import describe
from benchmarks.simulated import STUDY
from tuning.core.interfaces import NoProposal
from tuning.core.trial import TrialResult, TrialState
from tuning.search import optuna_window
from tuning.search.factory import make_searcher
from tuning.search.names import parse_searchers
from tuning.study.file import parse_study

RUNNING = 200
TRIALS = 1_000
LAST = 250
# Trials per further proposal of a fit: never, and until the batch has its full length.
ONE_EACH, FULL = 10**9, RUNNING // optuna_window.MOST_MORE


def regret(params: Mapping[str, Any]) -> float:
    """A bowl with a ripple in one dimension; 0 is about the least."""
    x: list[float] = [
        (params["embedding_dim"] - 70) / 112,
        (params["units"] - 40) / 80,
        params["spatial_dropout"] - 0.3,
        params["dropout"] - 0.15,
        params["recurrent_dropout"] - 0.1,
    ]
    bowl = sum(weight * value**2 for weight, value in enumerate(x, start=1))
    return bowl + 0.02 * (1 - math.cos(25 * x[2]))


def search(seed: int, per_proposal: int) -> tuple[float, float]:
    """The mean regret of the last trials to end, and the least of all."""
    optuna_window.RUNNING_PER_PROPOSAL = per_proposal
    study = parse_study({**yaml.safe_load(STUDY), "seed": seed}, "batches")
    (spec,) = parse_searchers(["optuna:tpe+none"])
    searcher = make_searcher(spec, study)
    order = random.Random(seed)
    running: list[tuple[int, Mapping[str, Any]]] = []
    found: list[float] = []
    asked = 0
    while len(found) < TRIALS:
        while asked < TRIALS and len(running) < RUNNING:
            proposal = searcher.ask(asked)
            assert not isinstance(proposal, NoProposal)
            running.append((asked, proposal.params))
            asked += 1
        number, params = running.pop(order.randrange(len(running)))
        found.append(regret(params))
        result = TrialResult(
            state=TrialState.COMPLETED,
            value=-found[-1],
            best_step=1,
            measurements=(),
            duration_s=1.0,
        )
        searcher.tell(number, result)
    return statistics.mean(found[-LAST:]), min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    jobs = [(seed, kind) for seed in range(options.seeds) for kind in (ONE_EACH, FULL)]
    with ProcessPoolExecutor(options.processes) as pool:
        results = [*pool.map(search, *zip(*jobs, strict=True))]
    single, batches = results[0::2], results[1::2]
    print(describe())
    print("| | one fit each | batches of eleven | difference, standard error |\n|---|---|---|---|")
    for index, name in enumerate((f"regret of the last {LAST} to end", "least regret")):
        a, b = [each[index] for each in single], [each[index] for each in batches]
        differences = [y - x for x, y in zip(a, b, strict=True)]
        error = statistics.stdev(differences) / math.sqrt(len(differences))
        print(
            f"| {name} | {statistics.mean(a):.4f} | {statistics.mean(b):.4f} "
            f"| {statistics.mean(differences):+.4f} ± {error:.4f} |"
        )


if __name__ == "__main__":
    main()
