"""What each searcher finds in equal time: ``python -m benchmarks.searchers --seconds 600``.

Every searcher has the machine for itself, from the same start-up on and with the same study; the
picture shows the best validation accuracy so far against the seconds of search.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from tuning.core.trial import Phase
from tuning.driver.search_limit import SearchLimit
from tuning.driver.source import TrialSource
from tuning.evaluation.spending import spending
from tuning.search.factory import make_searcher
from tuning.workflow.plan import Options, make_plan
from tuning.workflow.study_run import open_study_run

STUDY = Path(__file__).parents[1] / "pipelines/imdb/study.yaml"
MOST_TRIALS = 1_000
SEARCHERS = (
    "optuna:tpe+none,optuna+median,optuna+hyperband,keras_tuner,keras_tuner:hyperband,random"
)


def search(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Searches for so many seconds; gives [seconds, best so far] after every epoch of progress."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    plan = make_plan(
        Options(
            study=STUDY,
            dataset=options.dataset,
            settings=(
                f"searchers={name}",
                f"budget.trials={MOST_TRIALS}",
                f"budget.epochs={options.epochs}",
                f"seed={options.seed}",
            ),
            cache_dir=options.cache_dir,
            output="quiet",
        )
    )
    with open_study_run(plan) as session:
        study = session.study
        began = time.time()
        limit = SearchLimit(study.objective, deadline=time.monotonic() + options.seconds)
        source = TrialSource(
            make_searcher(plan.searchers[0], study), Phase.SEARCH, study.budget.epochs, MOST_TRIALS
        )
        session.driver.run([source], limit)
        session.tracker.flush()
        trials = session.read().trials
    best = None
    curve: list[list[float]] = []
    for trial in sorted(trials, key=lambda trial: trial.ended_ms):
        value = trial.result.value
        if trial.completed and value is not None and study.objective.better(value, best):
            best = value
            curve.append([trial.ended_ms / 1000 - began, value])
    return {
        "searcher": name,
        "trials": len(trials),
        "epochs": spending(trials)["epochs_trained"],
        "curve": curve,
    }


def draw(found: list[dict[str, Any]], seconds: float, file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for result in found:
        curve = result["curve"]
        # A trial that ran at the end of the time may have ended after it.
        x = [point[0] for point in curve] + [max(seconds, curve[-1][0])]
        y = [point[1] for point in curve] + [curve[-1][1]]
        axes.step(x, y, where="post", label=f"{result['searcher']} ({result['trials']} trials)")
    axes.set(xlabel="seconds of search", ylabel="best validation accuracy so far")
    axes.legend(loc="lower right", fontsize="small")
    axes.grid(alpha=0.3)
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="auto")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--searchers", default=SEARCHERS)
    parser.add_argument("--cache-dir", type=Path, default=Path(".cache/tuning"))
    parser.add_argument("--figure", type=Path, default=Path("searchers.svg"))
    options = parser.parse_args()
    print(f"{describe()}\n{options.seconds:g} seconds each", flush=True)
    print("| searcher | trials | epochs | best | after (s) |\n|---|---|---|---|---|")
    found = []
    for name in options.searchers.split(","):
        with tempfile.TemporaryDirectory() as folder:
            result = search(name, options, Path(folder))
        found.append(result)
        after, best = result["curve"][-1]
        print(
            f"| `{name}` | {result['trials']} | {result['epochs']} | {best:.4f} | {after:.0f} |",
            flush=True,
        )
    draw(found, options.seconds, options.figure)
    options.figure.with_suffix(".json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
