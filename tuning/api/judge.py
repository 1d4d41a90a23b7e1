"""The verdict on two groups of runs that are in MLflow already, whoever has trained them."""

import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from tuning.api.places import open_place
from tuning.core.errors import BadInputError
from tuning.core.record import Predictions
from tuning.data.dependence import rows_that_depend
from tuning.evaluation.dependence import with_dependence
from tuning.evaluation.intervals import Gain, Verdict, verdict_of
from tuning.metrics.metric import Direction, Metric, significant
from tuning.study.sections import direction_of
from tuning.tracking.store import all_pages

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient
    from mlflow.entities import Run

_RUN_IDS = re.compile(r"[0-9a-f]{32}(\s*,\s*[0-9a-f]{32})*")


@dataclass(frozen=True)
class Group:
    """A group of runs of one configuration, with different seeds.

    Attributes:
        name: Filter or run ids that select the runs.
        runs: Ids of the runs.
        values: Value of the metric of each run.
    """

    name: str
    runs: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Judgement:
    """The comparison of two groups of runs.

    Attributes:
        verdict: ``better``, ``inconclusive`` or ``worse``: the second group against the first.
        gain: Gain of the second group over the first; positive is better.
        baseline: First group.
        candidate: Second group.
        metric: Name of the metric.
        unknown: What could not be known about the runs, a sentence each.
    """

    verdict: str
    gain: Gain
    baseline: Group
    candidate: Group
    metric: str
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        """Returns the table, the verdict, and what could not be known."""
        from tuning.report.text import columns

        rows = [["runs", "number", f"mean {self.metric}", "sd"]]
        for group in (self.baseline, self.candidate):
            sd = significant(stdev(group.values), 2) if len(group.values) > 1 else "–"
            mean = significant(fmean(group.values))
            rows.append([group.name, str(len(group.values)), mean, sd])
        gain = self.gain
        interval = "no interval: a group has one run only"
        if math.isfinite(gain.low):
            ends = f"{significant(gain.low)} to {significant(gain.high)}"
            interval = f"interval {ends}, p = {gain.p_value:.2g}"
        lines = [
            columns(rows),
            "",
            f"Verdict: {self.verdict}. Gain {significant(gain.estimate)} ({interval}).",
        ]
        if self.unknown:
            lines += ["", "Not known:", *(f"- {sentence}" for sentence in self.unknown)]
        return "\n".join(lines)


def judge(
    baseline: str,
    candidate: str,
    *,
    metric: str,
    direction: Direction | None = None,
    predictions: str = "",
    experiments: Sequence[str] = (),
    min_gain: float = 0.0,
    confidence: float = 0.95,
    tracking_uri: str = "",
    times: Any = None,
    groups: Any = None,
) -> Judgement:
    """Compares two groups of runs in MLflow, each of one configuration with several seeds.

    Example::

        print(tuning.judge("tags.model = 'old'", "tags.model = 'new'", metric="test_rmse"))

    Args:
        baseline: Filter of MLflow for the runs to beat, or their ids, separated by commas.
        candidate: Filter or ids of the other runs.
        metric: Name of the metric of the runs, such as ``test_rmse``; with ``predictions``, a
            metric of this library, such as ``rmse``.
        direction: Whether larger or smaller values are better; required only if the name of the
            metric does not tell it.
        predictions: Path of an artifact of each run with the test predictions, a ``.npz`` file
            with the arrays ``truth`` and ``prediction`` or a ``.csv`` file with such columns, and
            perhaps ``times`` or ``groups`` of the rows. Then the interval covers other test
            examples, too; otherwise only other seeds.
        experiments: Names of the experiments to search; empty for all.
        min_gain: Smallest gain for the verdict ``better``, in the unit of the metric.
        confidence: Confidence level of the interval.
        tracking_uri: Address of MLflow's store; empty as in ``tune``.
        times: Times of the test examples in ``predictions``, if neighbours depend on each other.
        groups: Groups of the test examples, if those of a group depend on each other.

    Returns:
        The judgement; printed, it is a table, the verdict, and what could not be known.

    Raises:
        BadInputError: A group is empty, the groups have a run in common or other data, or a value
            is missing.
    """
    client, _ = open_place(tracking_uri)
    runs = [_find(client, text, experiments) for text in (baseline, candidate)]
    _check_groups(*runs)
    judged = _deciding(metric, direction, with_predictions=bool(predictions))
    unknown = _unknown(*runs)
    dependence = rows_that_depend(times, groups)
    if predictions:
        values, gain = _by_predictions(client, runs, predictions, judged, confidence, dependence)
    elif dependence:
        raise BadInputError(f"{next(iter(dependence))}: it needs predictions=, which it describes")
    else:
        values, gain = _by_values(runs, metric, judged, confidence)
        unknown.insert(
            0,
            "whether the gain holds on other test examples: the interval covers other seeds only; "
            "predictions= covers both",
        )
    named = [
        Group(text, tuple(run.info.run_id for run in each), own)
        for text, each, own in zip((baseline, candidate), runs, values, strict=True)
    ]
    verdict = verdict_of(gain, min_gain) if math.isfinite(gain.low) else Verdict.INCONCLUSIVE
    return Judgement(verdict.value, gain, named[0], named[1], metric, tuple(unknown))


def _find(client: "MlflowClient", text: str, experiments: Sequence[str]) -> "list[Run]":
    if _RUN_IDS.fullmatch(text.strip()):
        from tuning.tracking.reader import get_run

        return [get_run(client, run_id) for run_id in re.split(r"\s*,\s*", text.strip())]
    from mlflow.exceptions import MlflowException

    every = client.search_experiments()
    chosen = [each.experiment_id for each in every if not experiments or each.name in experiments]
    missing = set(experiments) - {each.name for each in every}
    if missing:
        raise BadInputError(f"experiments: there is no experiment {sorted(missing)[0]!r}")
    try:
        runs: list[Run] = all_pages(
            lambda token: client.search_runs(chosen, text, page_token=token)
        )
    except MlflowException as error:
        raise BadInputError(f"{text!r} is no filter that MLflow understands: {error}") from error
    if not runs:
        raise BadInputError(
            f"{text!r} selects no run; pass a filter such as \"tags.model = 'new'\", or run ids"
        )
    return runs


def _check_groups(first: "list[Run]", second: "list[Run]") -> None:
    common = {run.info.run_id for run in first} & {run.info.run_id for run in second}
    if common:
        raise BadInputError(f"run {sorted(common)[0]} is in both groups; they must not overlap")
    data = [_datasets(group) for group in (first, second)]
    if data[0] and data[1] and data[0] != data[1]:
        raise BadInputError(
            "the groups were not evaluated on the same data: their datasets in MLflow are "
            f"{', '.join(sorted(data[0]))}, and {', '.join(sorted(data[1]))}"
        )


def _datasets(runs: "list[Run]") -> set[str]:
    inputs = [each for run in runs for each in (run.inputs.dataset_inputs if run.inputs else [])]
    return {f"{each.dataset.name} ({each.dataset.digest})" for each in inputs}


def _unknown(first: "list[Run]", second: "list[Run]") -> list[str]:
    """Returns what a verdict rests on and the runs do not tell."""
    sentences = []
    if not (_datasets(first) and _datasets(second)):
        sentences.append("whether both groups were evaluated on the same examples")
    for runs, name in ((first, "first"), (second, "second")):
        seeds = [run.data.params.get("seed") or run.data.tags.get("seed") for run in runs]
        if None in seeds:
            sentences.append(f"whether the runs of the {name} group have different seeds")
        elif len(set(seeds)) < len(seeds):
            sentences.append(
                f"how much the {name} group varies: {len(seeds)} runs have {len(set(seeds))} seeds"
            )
    sentences.append("whether the runs were chosen by this metric; then the gain is overestimated")
    return sentences


def _deciding(metric: str, direction: Direction | None, *, with_predictions: bool) -> Metric:
    from tuning.metrics.catalogue import METRICS, make_metric

    if with_predictions:
        try:
            return make_metric(metric.removeprefix("test_"), direction)
        except ValueError as error:
            raise BadInputError(f"metric: {error}") from None
    name = re.sub(r"^(test|val|validation|eval)_", "", metric)
    known = METRICS[name]().direction if name in METRICS else direction_of(name)
    if known is None and direction is None:
        raise BadInputError(
            f"direction: whether larger values of {metric!r} are better is not known; pass "
            "maximize or minimize"
        )
    return Metric(metric, direction or known or "maximize", False, frozenset(), lambda *_: 0.0)


def _by_values(
    runs: "list[list[Run]]", metric: str, judged: Metric, confidence: float
) -> tuple[list[tuple[float, ...]], Gain]:
    import numpy as np

    from tuning.evaluation.intervals import gain_of

    groups = []
    for group in runs:
        for run in group:
            if metric not in run.data.metrics:
                raise BadInputError(
                    f"metric: run {run.info.run_id} has no {metric!r}; it has "
                    f"{', '.join(sorted(run.data.metrics)) or 'no metrics'}"
                )
        groups.append(tuple(float(run.data.metrics[metric]) for run in group))
    first, second = (judged.sign * np.array(values) for values in groups)
    # An infinite number of examples: the part of the interval that is due to them is left out.
    return groups, gain_of(first, second, 0.0, None, confidence)


def _by_predictions(
    client: "MlflowClient",
    runs: "list[list[Run]]",
    path: str,
    judged: Metric,
    confidence: float,
    dependence: Mapping[str, Any],
) -> tuple[list[tuple[float, ...]], Gain]:
    from tuning.evaluation.gains import gain
    from tuning.metrics.scoring import score

    files = {
        run.info.run_id: _arrays(client, run.info.run_id, path) for group in runs for run in group
    }
    every = {run_id: _read(run_id, path, each, judged) for run_id, each in files.items()}
    if not dependence:
        some_file = next(iter(files.values()))
        name = "times" if "times" in some_file else "groups"
        dependence = rows_that_depend(**{"times": None, "groups": None, name: some_file.get(name)})
    kinds = {run_id: isinstance(given, tuple) for run_id, given in every.items()}
    if len(set(kinds.values())) > 1:
        some = next(run_id for run_id, has_classes in kinds.items() if has_classes)
        raise BadInputError(
            f"predictions: run {some} has predicted classes, and other runs have probabilities"
        )
    if all(kinds.values()):
        every = _encoded(every)
    first_id, first = next(iter(every.items()))
    for run_id, given in every.items():
        if given.truth.shape != first.truth.shape or (given.truth != first.truth).any():
            raise _other_truth(run_id, first_id)
    outputs = {run_id: given.output for run_id, given in every.items()}
    predictions = with_dependence(Predictions(first.truth, outputs, first.kind), **dependence)
    ids = [[run.info.run_id for run in group] for group in runs]
    values = [tuple(score(judged, predictions, outputs[each]) for each in group) for group in ids]
    one, other = ((predictions, group) for group in ids)
    return values, gain(judged, one, other, confidence)


def _arrays(client: "MlflowClient", run_id: str, path: str) -> "dict[str, np.ndarray]":
    """Returns the arrays or columns of an artifact by name."""
    import numpy as np

    from tuning.tracking.predictions import fetch

    with tempfile.TemporaryDirectory() as folder:
        file = fetch(client, run_id, path, folder)
        if file is None:
            raise BadInputError(f"predictions: run {run_id} has no artifact {path!r}")
        if Path(path).suffix == ".csv":
            import pandas as pd

            table = pd.read_csv(file)
            return {name: table[name].to_numpy() for name in table.columns}
        try:
            with np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except ValueError as error:
            raise BadInputError(
                f"predictions: {path!r} of run {run_id} has an array of objects, which is not "
                f"read ({error}); store texts as arrays of texts"
            ) from None


def _read(run_id: str, path: str, arrays: "Mapping[str, np.ndarray]", judged: Metric) -> Any:
    from tuning.metrics.given import predicted_labels, read_output

    output = arrays.get("prediction", arrays.get("output"))
    if "truth" not in arrays or output is None:
        raise BadInputError(
            f"predictions: {path!r} of run {run_id} must have truth and prediction; it has "
            f"{', '.join(arrays)}"
        )
    pair = arrays["truth"], output
    labels = predicted_labels(pair, judged)
    given = read_output(pair, judged, f"{path} of run {run_id}")
    return given if labels is None else labels


def _encoded(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Encodes the predicted classes of all runs over the same classes."""
    from tuning.metrics.given import encode_classes

    first_id, (truth, _) = next(iter(labels.items()))
    for run_id, (other, _) in labels.items():
        if other.shape != truth.shape or (other != truth).any():
            raise _other_truth(run_id, first_id)
    return dict(encode_classes(truth, {run_id: each[1] for run_id, each in labels.items()}))


def _other_truth(run_id: str, first_id: str) -> BadInputError:
    return BadInputError(
        f"predictions: the truth of run {run_id} differs from that of run {first_id}; all runs "
        "must have predicted the same examples in the same order"
    )
