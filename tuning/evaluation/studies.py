"""Compares two or more studies: their winners, their data and their cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from tuning.evaluation.comparison import Comparison, compare
from tuning.evaluation.gains import gain
from tuning.evaluation.intervals import Gain
from tuning.evaluation.spending import busy_seconds
from tuning.metrics.metric import Metric
from tuning.study.record import StudyRecord


@dataclass(frozen=True)
class Compared:
    """A study with its comparison."""

    record: StudyRecord
    comparison: Comparison


def read_all(records: Sequence[StudyRecord]) -> list[Compared]:
    """Computes the comparison of each study.

    Raises:
        ValueError: A study has no completed baseline trial.
    """
    return [Compared(record, compare(record)) for record in records]


def studies_table(studies: Sequence[Compared]) -> list[list[str]]:
    """Returns a table with a row per study. The first row is the header."""
    rows = [
        [
            *("run", "study", "data", "metric", "verdict", "baseline", "best", "gain"),
            *("trials", "epochs", "time"),
        ]
    ]
    for study in studies:
        record, comparison = study.record, study.comparison
        best, test_gain = comparison.best, comparison.gain
        metric = record.study.compare.deciding
        rows.append(
            [
                record.run_id[:8],
                record.study.name,
                f"{record.data.label} {record.data.digest[:8]}",
                metric.name,
                comparison.verdict.value,
                _mean(metric, comparison.baseline.test),
                _mean(metric, best.test if best else []),
                "–" if test_gain is None else _with_interval(metric, test_gain),
                str(sum(account.trials for account in comparison.searches)),
                str(sum(account.epochs for account in comparison.searches)),
                f"{busy_seconds(record.trials) / 60:.0f} min",
            ]
        )
    return rows


def differences(studies: Sequence[Compared]) -> list[str]:
    """Returns a sentence per pair of studies: which winner is better on the same test split."""
    return [_difference(first, second) for first, second in combinations(studies, 2)]


def _difference(first: Compared, second: Compared) -> str:
    one, two = first.record, second.record
    names = f"{one.run_id[:8]} and {two.run_id[:8]}"
    if not one.data.has_test_rows_of(two.data):
        return (
            f"{names} were tested on different data ({one.data.label} {one.data.digest[:8]}, "
            f"{two.data.label} {two.data.digest[:8]}): their models cannot be compared."
        )
    metric = one.study.compare.deciding
    if metric.name != two.study.compare.deciding.name:
        return (
            f"{names} have different metrics ({metric.name}, {two.study.compare.metric}): their "
            "models cannot be compared."
        )
    best, other = first.comparison.best, second.comparison.best
    if one.predictions is None or two.predictions is None or best is None or other is None:
        return f"{names} cannot be compared: one of them has no winner with test predictions."
    difference = gain(
        metric,
        (one.predictions, best.trials),
        (two.predictions, other.trials),
        one.study.compare.confidence,
    )
    if not math.isfinite(difference.low):
        return f"{names}: one seed does not show the spread between seeds; use two or more seeds."
    if difference.low > 0:
        result = f"{two.run_id[:8]} has the better model"
    elif difference.high < 0:
        result = f"{one.run_id[:8]} has the better model"
    else:
        result = "neither has a clearly better model"
    text = _with_interval(metric, difference)
    return f"{names}, same test rows: {result}; gain of the second {text}."


def _with_interval(metric: Metric, difference: Gain) -> str:
    text = f"{metric.write_gain(difference.estimate)}{metric.unit}"
    if not math.isfinite(difference.low):
        return text
    return f"{text} ({metric.write_interval(difference.low, difference.high)})"


def _mean(metric: Metric, values: Sequence[float]) -> str:
    return metric.write(sum(values) / len(values)) if values else "–"
