"""Analyses the errors of baseline and winner: examples, behaviours and lengths of inputs."""

from dataclasses import dataclass

import numpy as np

from tuning.core.record import Predictions
from tuning.evaluation.comparison import Comparison
from tuning.evaluation.configurations import Configuration
from tuning.metrics.classification import predicted_classes
from tuning.metrics.examples import changed_examples
from tuning.metrics.scoring import example_scores
from tuning.study.record import StudyRecord

SHOWN = 6
MAX_SHOWN = 600
MAX_CLASSES = 50


@dataclass(frozen=True)
class ChangedExample:
    """A test example that one of two models predicts clearly better.

    Attributes:
        text: Readable text of the example; only the end of a long text.
        image: Picture of the example as a data URI; empty if it is no picture.
        truth: Truth in words.
        before: Prediction of the baseline's first model in words.
        after: Prediction of the winner's first model in words.
    """

    text: str
    image: str
    truth: str
    before: str
    after: str


@dataclass(frozen=True)
class ErrorAnalysis:
    """The errors of the models, as the report shows them.

    Attributes:
        mended: Examples that the winner's model predicts better: of classes, only examples that
            the baseline's model predicts wrong and the winner's right.
        broken: Examples that the baseline's model predicts better, likewise.
        behaviours: Rows of a table, one per behaviour: name, expectation, an example, and the
            failure rate of the first model of each configuration.
        models: Labels of the configurations, in the order of the columns of both tables.
        slices: Rows of a table, one per range of input lengths: name, number of examples, and the
            test metric of each configuration as a mean over its seeds.
        classes: Rows of a table, one per class: name, number of examples, and precision, recall
            and F1 of the first model of baseline and winner; empty for regression.
    """

    mended: list[ChangedExample]
    broken: list[ChangedExample]
    behaviours: list[list[str]]
    models: list[str]
    slices: list[list[str]]
    classes: list[list[str]]


def error_analysis(record: StudyRecord, comparison: Comparison) -> ErrorAnalysis:
    """Analyses the errors in the record. It is empty without predictions or without a winner."""
    predictions, best = record.predictions, comparison.best
    if predictions is None or best is None:
        return ErrorAnalysis([], [], [], [], [], [])
    first, second = comparison.baseline.trials[0], best.trials[0]
    configs = [comparison.baseline, *comparison.references, best]
    return ErrorAnalysis(
        _changed(predictions, first, second, better=True),
        _changed(predictions, first, second, better=False),
        _behaviours(predictions, configs),
        [config.label for config in configs],
        _slices(record, configs),
        _classes(predictions, [first, second]),
    )


def constant_prediction(predictions: Predictions) -> tuple[str, "np.ndarray"]:
    """Returns the best prediction that does not look at the inputs, with its name.

    It is made from the test labels themselves, so no constant does better: of classes the most
    frequent one, of labels the more frequent value of each, of numbers the mean.
    """
    truth, rows = predictions.truth, len(predictions.truth)
    if predictions.quantiles:
        levels = np.quantile(truth.reshape(rows, -1), predictions.quantiles, axis=0).T
        return "always the quantiles of the test targets", np.broadcast_to(
            levels[None], (rows, *levels.shape)
        )
    if predictions.kind == "regression":
        return "always the mean of the test targets", np.broadcast_to(
            np.average(truth, axis=0), truth.shape
        )
    if predictions.kind == "multiclass":
        classes = max(int(truth.max()) + 1, next(iter(predictions.outputs.values())).shape[1])
        shares = np.bincount(truth, minlength=classes) / rows
        return "always the majority class", np.tile(shares, (rows, 1))
    shares = truth.mean(axis=0)
    name = "the majority class" if predictions.kind == "binary" else "the majority of each label"
    return f"always {name}", np.broadcast_to(shares, truth.shape)


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


def _changed(
    predictions: Predictions, first: str, second: str, *, better: bool
) -> list[ChangedExample]:
    found = changed_examples(predictions, first, second, better=better)
    known = [index for index in found if index in predictions.texts or index in predictions.images]
    before, after = (predictions.points(predictions.outputs[name]) for name in (first, second))
    return [
        ChangedExample(
            _ending(predictions.texts.get(index, "")),
            predictions.images.get(index, ""),
            _truth_in_words(predictions, index),
            _prediction_in_words(predictions, before[index], index),
            _prediction_in_words(predictions, after[index], index),
        )
        for index in known[:SHOWN]
    ]


def class_names(predictions: Predictions, count: int) -> list[str]:
    """Returns the names of the classes or labels; their numbers if they have no names."""
    names = list(predictions.classes)
    return names if len(names) == count else [str(number) for number in range(count)]


def _truth_in_words(predictions: Predictions, index: int) -> str:
    truth = predictions.truth[index]
    if predictions.kind == "regression":
        return ", ".join(f"{value:.4g}" for value in np.atleast_1d(truth))
    if predictions.kind == "multilabel":
        names = class_names(predictions, len(truth))
        return (
            ", ".join(name for name, is_true in zip(names, truth, strict=True) if is_true) or "–"
        )
    count = 2 if predictions.kind == "binary" else int(predictions.truth.max()) + 1
    return class_names(predictions, max(count, len(predictions.classes)))[int(truth)]


def _prediction_in_words(predictions: Predictions, output: "np.ndarray", index: int) -> str:
    if predictions.kind == "regression":
        return ", ".join(f"{value:.4g}" for value in np.atleast_1d(output))
    if predictions.kind == "binary":
        chosen = int(output >= 0.5)
        name = class_names(predictions, 2)[chosen]
        return f"{name} (probability {output if chosen else 1 - output:.2f})"
    names = class_names(predictions, len(output))
    if predictions.kind == "multilabel":
        own = [
            f"{name} ({share:.2f})"
            for name, share in zip(names, output, strict=True)
            if share >= 0.5
        ]
        return ", ".join(own) or "–"
    best, truth = int(output.argmax()), int(predictions.truth[index])
    text = f"{names[best]} (probability {output[best]:.2f})"
    return text if best == truth else f"{text}; {names[truth]} has {output[truth]:.2f}"


def _classes(predictions: Predictions, trials: list[str]) -> list[list[str]]:
    if predictions.kind == "regression":
        return []
    from sklearn.metrics import precision_recall_fscore_support

    outputs = [predictions.outputs[name] for name in trials]
    count = 2 if predictions.kind == "binary" else outputs[0].shape[1]
    columns = []
    for output in outputs:
        classes = predicted_classes(output, multiclass=predictions.kind == "multiclass")
        columns.append(
            precision_recall_fscore_support(
                predictions.truth, classes, labels=range(count), zero_division=0.0
            )
        )
    names = class_names(predictions, count)
    return [
        [
            names[number],
            f"{columns[0][3][number]:,}",
            *(f"{each[part][number]:.3f}" for part in range(3) for each in columns),
        ]
        for number in range(min(count, MAX_CLASSES))
    ]


def _ending(text: str) -> str:
    # Models often see only the end of a long input.
    return text if len(text) <= MAX_SHOWN else f"… {text[-MAX_SHOWN:]}"


def _slices(record: StudyRecord, configs: list[Configuration]) -> list[list[str]]:
    predictions, metric = record.predictions, record.study.compare.deciding
    if predictions is None or predictions.lengths is None:
        return []
    if not all(config.test for config in configs):
        return []
    means = [example_scores(metric, predictions, config.trials) for config in configs]
    by_example = [scores.mean(axis=0) for scores in means if scores is not None]
    if len(by_example) < len(configs):
        return []  # the metric is no mean over examples
    lengths = predictions.lengths
    low, high = np.quantile(lengths, [1 / 3, 2 / 3])
    kinds = [
        (f"shortest third (up to {low:,.0f})", lengths <= low),
        ("middle third", (lengths > low) & (lengths <= high)),
        (f"longest third (above {high:,.0f})", lengths > high),
    ]
    if predictions.seen:
        cut = lengths > predictions.seen
        kinds += [(f"cut (above {predictions.seen:,})", cut), ("not cut", ~cut)]
    return [
        [name, f"{chosen.sum():,}", *(metric.write(each[chosen].mean()) for each in by_example)]
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
