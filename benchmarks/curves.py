"""Curves of real trainings, and a model fitted to them from which simulated ones are drawn.

``python -m benchmarks.curves --run-id RUN > benchmarks/imdb_curves.json`` exports those of a
study from MLflow's record.
"""

import argparse
import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tuning.core.seeds import derive_seed
from tuning.core.trial import Trial

FILE = Path(__file__).with_name("imdb_curves.json")


class FittedModel:
    """Trainings like the real ones: a ``TrialModel`` for the simulated executor.

    A configuration's curve and its seconds are those of the real trainings around it, each
    weighted by the inverse square of its distance; each seed moves a curve as a whole by as much
    as seeds did in reality, and each epoch by half of that.

    Args:
        curves: As exported: params, values by epoch, and seconds of an epoch.
        seed_sd: Standard deviation of the objective between seeds of one configuration.
    """

    def __init__(self, curves: Sequence[Mapping[str, Any]], seed_sd: float) -> None:
        self._names = sorted(curves[0]["params"])
        points = np.array([[float(c["params"][n]) for n in self._names] for c in curves])
        self._low, self._width = points.min(0), np.ptp(points, 0)
        self._points = self._scaled(points)
        epochs = max(len(c["values"]) for c in curves)
        # A curve that was stopped goes on as it ended.
        self._values = np.array(
            [[*c["values"], *[c["values"][-1]] * (epochs - len(c["values"]))] for c in curves]
        )
        self._seconds = np.log([c["seconds"] for c in curves])
        self._seed_sd = seed_sd
        self._known: dict[tuple[float, ...], tuple[Any, float]] = {}

    def value(self, trial: Trial, epoch: int) -> float:
        """The objective after an epoch, from 1."""
        curve, _ = self._at(trial)
        moved = random.Random(derive_seed(trial.seed, "luck")).gauss(0, self._seed_sd)
        moved += random.Random(derive_seed(trial.seed, epoch)).gauss(0, self._seed_sd / 2)
        return float(curve[min(epoch, len(curve)) - 1]) + moved

    def seconds(self, trial: Trial) -> float:
        """Seconds of an epoch."""
        return self._at(trial)[1]

    def _at(self, trial: Trial) -> tuple[Any, float]:
        key = tuple(float(trial.params[name]) for name in self._names)
        if key not in self._known:
            distances = np.linalg.norm(self._points - self._scaled(np.array(key)), axis=1)
            weights = 1 / (distances + 0.05) ** 2
            weights /= weights.sum()
            self._known[key] = weights @ self._values, math.exp(float(weights @ self._seconds))
        return self._known[key]

    def _scaled(self, points: Any) -> Any:
        return (points - self._low) / np.where(self._width, self._width, 1)


def load(file: Path = FILE) -> FittedModel:
    document = json.loads(file.read_text())
    return FittedModel(document["curves"], document["seed_sd"])


def export(run_id: str) -> dict[str, Any]:
    """The curves of a study, from MLflow's record."""
    from tuning.tracking.reader import read_record
    from tuning.tracking.store import open_store, resolve_uri

    record = read_record(open_store(resolve_uri()), run_id)
    study, curves = record.study, []
    by_config: dict[str, list[float]] = {}
    for each in record.trials:
        measured = each.result.measurements
        if not measured or each.result.reused_from:
            continue
        values = [round(m.metrics[study.objective.metric], 4) for m in measured]
        # The first epoch compiles.
        seconds = [m.metrics["epoch_seconds"] for m in measured[1:] or measured]
        params = {name: each.trial.params[name] for name in study.space.names}
        curves.append(
            {"params": params, "values": values, "seconds": round(sorted(seconds)[0], 2)}
        )
        if each.result.value is not None and each.completed:
            by_config.setdefault(json.dumps(params), []).append(each.result.value)
    spreads = [np.var(values, ddof=1) for values in by_config.values() if len(values) > 1]
    return {
        "what": "validation accuracy by epoch, and seconds of an epoch on one core",
        "data": record.data.name,
        "seed_sd": round(float(np.sqrt(np.mean(spreads))), 5),
        "curves": curves,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-id", required=True)
    print(json.dumps(export(parser.parse_args().run_id), indent=None))
