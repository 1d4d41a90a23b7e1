"""Where baseline and best differ: examples that flip, and what the models cannot do."""

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
    """A test example on which the two models differ.

    Attributes:
        text: As people read it; its end, where it is long.
        truth: Its class, 0 or 1.
        before: Probability of class 1 by the baseline's model of the first seed.
        after: By the best's.
    """

    text: str
    truth: int
    before: float
    after: float


@dataclass(frozen=True)
class ErrorAnalysis:
    """What the report shows of errors.

    Attributes:
        mended: Examples that the best gets right and the baseline does not.
        broken: The other way round.
        behaviours: A row for each behaviour: name, expectation, an example, and the failure rate
            of each model.
        models: Whose failure rates these are, and whose accuracies the slices have.
        slices: A row for each kind of input by its length: name, examples, and the accuracy of
            each configuration, mean over seeds.
    """

    mended: list[Flip]
    broken: list[Flip]
    behaviours: list[list[str]]
    models: list[str]
    slices: list[list[str]]


def error_analysis(record: StudyRecord, comparison: Comparison) -> ErrorAnalysis:
    """Collects what the record knows of the errors of the first seeds' models."""
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
    """The largest increase of a failure rate from the baseline's model to the best's.

    Returns:
        From -1 to 1; None if there are no behaviours.
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
    found = flips(predictions.labels, before, after, mended)
    return [
        Flip(
            _ending(predictions.texts[index]),
            int(predictions.labels[index]),
            float(before[index]),
            float(after[index]),
        )
        for index in found
        if index in predictions.texts
    ][:SHOWN]


def _ending(text: str) -> str:
    # Models of long inputs often see the end only.
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
        kinds += [(f"cut (above {predictions.seen:,})", cut), ("seen whole", ~cut)]
    rights = [correct_examples(predictions, config.trials).mean(axis=0) for config in configs]
    return [
        [name, f"{chosen.sum():,}", *(f"{each[chosen].mean():.2%}" for each in rights)]
        for name, chosen in kinds
        if chosen.any()
    ]


def _behaviours(predictions: Predictions, configs: list[Configuration]) -> list[list[str]]:
    counts = [predictions.behaviours.get(config.trials[0], ()) for config in configs]
    if not all(counts):
        return []
    return [
        [
            of_all[0].name,
            of_all[0].expects,
            of_all[0].example,
            *(f"{count.failures / count.tests:.0%}" for count in of_all),
        ]
        for of_all in zip(*counts, strict=True)
    ]
