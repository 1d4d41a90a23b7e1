"""Analyses the errors of baseline and winner: examples, behaviours and lengths of inputs."""

from dataclasses import dataclass

import numpy as np

from tuning.core.record import Predictions
from tuning.evaluation.comparison import Comparison
from tuning.evaluation.configurations import Configuration
from tuning.metrics.binary import correct_examples, flips
from tuning.study.record import StudyRecord

SHOWN = 6
MAX_SHOWN = 600


@dataclass(frozen=True)
class Flip:
    """A test example that exactly one of two models classifies correctly.

    Attributes:
        text: Readable text of the example; only the end of a long text.
        truth: True class, 0 or 1.
        before: Probability of class 1, predicted by the first model of the baseline.
        after: Probability of class 1, predicted by the first model of the winner.
    """

    text: str
    truth: int
    before: float
    after: float


@dataclass(frozen=True)
class ErrorAnalysis:
    """The errors of the models, as the report shows them.

    Attributes:
        mended: Examples that only the winner's model classifies correctly.
        broken: Examples that only the baseline's model classifies correctly.
        behaviours: Rows of a table, one per behaviour: name, expectation, an example, and the
            failure rate of the first model of each configuration.
        models: Labels of the configurations, in the order of the columns of both tables.
        slices: Rows of a table, one per range of input lengths: name, number of examples, and the
            accuracy of each configuration as a mean over its seeds.
    """

    mended: list[Flip]
    broken: list[Flip]
    behaviours: list[list[str]]
    models: list[str]
    slices: list[list[str]]


def error_analysis(record: StudyRecord, comparison: Comparison) -> ErrorAnalysis:
    """Analyses the errors in the record. It is empty without predictions or without a winner."""
    predictions, best = record.predictions, comparison.best
    if predictions is None or best is None:
        return ErrorAnalysis([], [], [], [], [])
    first, second = comparison.baseline.trials[0], best.trials[0]
    configs = [comparison.baseline, *comparison.references, best]
    return ErrorAnalysis(
        _flips(predictions, first, second, mended=True),
        _flips(predictions, first, second, mended=False),
        _behaviours(predictions, configs),
        [config.label for config in configs],
        _slices(predictions, configs),
    )


def behaviour_regression(record: StudyRecord, comparison: Comparison) -> float | None:
    """Returns the largest increase of a behaviour's failure rate from baseline to winner.

    Each configuration is represented by its first model.

    Returns:
        The increase, from -1 to 1; None if there are no behaviours.
    """
    predictions, best = record.predictions, comparison.best
    if predictions is None or best is None:
        return None
    before = predictions.behaviours.get(comparison.baseline.trials[0], ())
    after = predictions.behaviours.get(best.trials[0], ())
    rises = [
        new.failures / new.tests - old.failures / old.tests
        for old, new in zip(before, after, strict=False)
    ]
    return max(rises, default=None)


def _flips(predictions: Predictions, first: str, second: str, *, mended: bool) -> list[Flip]:
    before, after = predictions.probabilities[first], predictions.probabilities[second]
    labels, texts = predictions.labels, predictions.texts
    shown = [index for index in flips(labels, before, after, mended) if index in texts][:SHOWN]
    return [
        Flip(_ending(texts[index]), int(labels[index]), float(before[index]), float(after[index]))
        for index in shown
    ]


def _ending(text: str) -> str:
    # Models often see only the end of a long input.
    return text if len(text) <= MAX_SHOWN else f"… {text[-MAX_SHOWN:]}"


def _slices(predictions: Predictions, configs: list[Configuration]) -> list[list[str]]:
    lengths = predictions.lengths
    if lengths is None or not all(config.test_accuracy for config in configs):
        return []
    low, high = np.quantile(lengths, [1 / 3, 2 / 3])
    kinds = [
        (f"shortest third (up to {low:,.0f})", lengths <= low),
        ("middle third", (lengths > low) & (lengths <= high)),
        (f"longest third (above {high:,.0f})", lengths > high),
    ]
    if predictions.seen:
        cut = lengths > predictions.seen
        kinds += [(f"cut (above {predictions.seen:,})", cut), ("not cut", ~cut)]
    correct = [correct_examples(predictions, config.trials).mean(axis=0) for config in configs]
    return [
        [name, f"{chosen.sum():,}", *(f"{each[chosen].mean():.2%}" for each in correct)]
        for name, chosen in kinds
        if chosen.any()
    ]


def _behaviours(predictions: Predictions, configs: list[Configuration]) -> list[list[str]]:
    counts = [predictions.behaviours.get(config.trials[0], ()) for config in configs]
    if not all(counts):
        return []
    rows = []
    for of_all in zip(*counts, strict=True):
        first = of_all[0]
        rates = [f"{count.failures / count.tests:.0%}" for count in of_all]
        rows.append([first.name, first.expects, first.example, *rates])
    return rows
