"""What each searcher finds in equal time: ``python -m benchmarks.searchers --seconds 600``.

Every searcher has the machine for itself, from the same start-up on and with the same study; the
picture shows the best validation accuracy so far against the seconds of search.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

from benchmarks.machine import describe
from tuning.arms import choose_candidates
from tuning.driver import Arm
from tuning.plan import Options, make_plan
from tuning.search.factory import make_searcher
from tuning.session import open_session
from tuning.stopping import SearchLimit
from tuning.trial import Phase

STUDY = Path(__file__).parents[1] / "pipelines/imdb/study.yaml"
SEARCHERS = (
    "optuna:tpe+none,optuna+median,optuna+hyperband,keras_tuner,keras_tuner:hyperband,random"
)


def search(name: str, options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Searches for so many seconds; gives [seconds, best so far] after every epoch of progress."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    plan = make_plan(
        Options(
            study=STUDY,
            dataset=options.dataset,
            searchers=name,
            trials=1_000,
            epochs=options.epochs,
            seed=options.seed,
            cache_dir=options.cache_dir,
            output="quiet",
        )
    )
    with open_session(plan) as session:
        study = session.study
        limit, began = _limit(session, options.seconds)
        arm = Arm(
            make_searcher(plan.searchers[0], study), Phase.SEARCH, study.budget.epochs, 1_000
        )
        records = session.driver.run([arm], limit)
        session.tracker.flush()
        ended = {trial.trial.name: trial.ended_ms for trial in session.read().trials}
    curve: list[list[float]] = []
    best = None
    for record in sorted(records, key=lambda record: ended[record.trial.name]):
        value = record.result.value
        if record.completed and value is not None and study.objective.better(value, best):
            best = value
            curve.append([ended[record.trial.name] / 1000 - began, value])
    chosen = choose_candidates(study.model_copy(update={"confirm": study.confirm}), records)
    return {
        "searcher": name,
        "trials": len(records),
        "epochs": sum(len(r.result.measurements) - r.result.inherited for r in records),
        "curve": curve,
        "best": dict(study.searched(chosen[0].trial.params)) if chosen else {},
    }


def _limit(session: object, seconds: float) -> tuple[SearchLimit, float]:
    import time

    end = time.monotonic() + seconds
    return SearchLimit(session.study.objective, deadline=lambda: end), time.time()  # type: ignore[attr-defined]


def draw(found: list[dict[str, object]], seconds: float, file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for result in found:
        curve = result["curve"]
        x = [point[0] for point in curve] + [seconds]  # type: ignore[attr-defined]
        y = [point[1] for point in curve] + [curve[-1][1]]  # type: ignore[index, attr-defined]
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
        after, best = result["curve"][-1]  # type: ignore[index]
        print(
            f"| `{name}` | {result['trials']} | {result['epochs']} | {best:.4f} | {after:.0f} |",
            flush=True,
        )
    draw(found, options.seconds, options.figure)
    options.figure.with_suffix(".json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
