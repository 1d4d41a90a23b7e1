"""Two or more studies side by side: which found more, on which data, at what cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from tuning.evaluation.comparison import Comparison, compare
from tuning.evaluation.spending import busy_seconds
from tuning.evaluation.statistics import Gain, gain, points
from tuning.metrics.binary import correct_examples
from tuning.study.record import StudyRecord


@dataclass(frozen=True)
class Compared:
    """A study and what it says."""

    record: StudyRecord
    comparison: Comparison


def read_all(records: Sequence[StudyRecord]) -> list[Compared]:
    """Compares within each study.

    Raises:
        ValueError: One has no completed baseline trial.
    """
    return [Compared(record, compare(record)) for record in records]


def studies_table(studies: Sequence[Compared]) -> list[list[str]]:
    """A row for each study; the first row is the head."""
    rows = [
        ["run", "study", "data", "verdict", "baseline", "best", "gain", "trials", "epochs", "time"]
    ]
    for study in studies:
        record, comparison = study.record, study.comparison
        best, found = comparison.best, comparison.gain
        rows.append(
            [
                record.run_id[:8],
                record.study.name,
                f"{record.data.label} {record.data.digest[:8]}",
                comparison.verdict.value,
                _percent(comparison.baseline.test_accuracy),
                _percent(best.test_accuracy if best else []),
                "–" if found is None else _with_interval(found),
                str(sum(account.trials for account in comparison.searches)),
                str(sum(account.epochs for account in comparison.searches)),
                f"{busy_seconds(record.trials) / 60:.0f} min",
            ]
        )
    return rows


def differences(studies: Sequence[Compared]) -> list[str]:
    """A sentence for each pair: whose best is better on the test split, if it is the same one."""
    return [_difference(first, second) for first, second in combinations(studies, 2)]


def _difference(first: Compared, second: Compared) -> str:
    one, two = first.record, second.record
    names = f"{one.run_id[:8]} and {two.run_id[:8]}"
    if one.data.digest != two.data.digest:
        return (
            f"{names} were judged on different data ({one.data.label} {one.data.digest[:8]}, "
            f"{two.data.label} {two.data.digest[:8]}): their accuracies cannot be compared."
        )
    best, other = first.comparison.best, second.comparison.best
    if one.predictions is None or two.predictions is None or best is None or other is None:
        return f"{names}: one of them has no best model that was tested."
    found = gain(
        correct_examples(one.predictions, best.trials),
        correct_examples(two.predictions, other.trials),
        one.study.compare.confidence,
    )
    if not math.isfinite(found.low):
        return f"{names}: one seed says nothing about the spread between seeds."
    if found.low > 0:
        said = f"{two.run_id[:8]} found the better model"
    elif found.high < 0:
        said = f"{one.run_id[:8]} found the better model"
    else:
        said = "neither is shown to have found the better model"
    return f"{names}, the same test rows: {said}; second minus first {_with_interval(found)}."


def _with_interval(found: Gain) -> str:
    if not math.isfinite(found.low):
        return f"{points(found.estimate)} points"
    return f"{points(found.estimate)} points ({found.interval})"


def _percent(values: Sequence[float]) -> str:
    return f"{100 * sum(values) / len(values):.2f}%" if values else "–"
