"""What the report says first, in words that need no statistics: result, cost, and what to do."""

import math

import numpy as np

from tuning.core.trial import TrialState
from tuning.evaluation.comparison import Comparison
from tuning.evaluation.configurations import Configuration
from tuning.evaluation.intervals import Gain, Verdict
from tuning.report.figures.style import test_name
from tuning.study.record import StudyRecord
from tuning.study.sections import Compare

_IN_WORDS = {
    Verdict.BETTER: "The best model that was found is better than the baseline.",
    Verdict.INCONCLUSIVE: (
        "Whether the best model that was found is better than the baseline is not known."
    ),
    Verdict.WORSE: "The best model that was found is worse than the baseline.",
}


def in_words(comparison: Comparison) -> str:
    """Returns the verdict as a sentence."""
    if comparison.best is None:
        return "No other model than the baseline was trained to the end."
    return _IN_WORDS[comparison.verdict]


def facts(record: StudyRecord, comparison: Comparison) -> list[tuple[str, str]]:
    """Returns names and values of what a reader wants to know first: gain, interval and cost."""
    rule, gain = record.study.compare, comparison.gain
    found = []
    if gain is not None and not math.isnan(gain.estimate):
        value = f"{rule.deciding.write_gain(gain.estimate)}{rule.deciding.unit}"
        found.append((f"gain in {test_name(rule.deciding)}", value))
        found.append((f"{100 * rule.confidence:g}% interval", _interval(rule, gain)))
    return [*found, ("cost", _cost(record))]


def _interval(rule: Compare, gain: Gain) -> str:
    if not math.isfinite(gain.low):
        return "unknown"
    return f"{rule.deciding.write_interval(gain.low, gain.high)}{rule.deciding.unit}"


def _cost(record: StudyRecord) -> str:
    trained = [trial for trial in record.trials if not trial.result.reused_from]
    trained = [t for t in trained if t.result.state is not TrialState.INTERRUPTED]
    seconds = sum(trial.result.duration_s for trial in trained)
    noun = "training" if len(trained) == 1 else "trainings"
    return f"{len(trained)} {noun}, {_duration(seconds)} of a worker's time"


def _duration(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} seconds"


def next_step(record: StudyRecord, comparison: Comparison) -> str:
    """Returns what a reader can do now; empty if there is nothing to say."""
    gain, verdict = comparison.gain, comparison.verdict
    if comparison.best is None or gain is None or math.isnan(gain.estimate):
        return ""
    if verdict is Verdict.BETTER:
        name = record.study.registered_model
        if trivial := _trivial(record, comparison.best):
            return (
                f"Even the best is no better than {trivial}. Look at the data, the loss and the "
                "metrics before it is used."
            )
        return (
            f"Use the registered model {name}: it is champion if the gate allowed it, and the "
            "page of its version in MLflow says why if not."
        )
    if verdict is Verdict.WORSE:
        return "Keep the baseline. Another search space or more trials may find a better model."
    if gain.low > 0:
        return "The gain is smaller than compare.min_gain, so it may not be worth a change."
    if not math.isfinite(gain.low):
        return "Train with more fresh seeds (confirm.seeds), or test on more rows."
    if gain.seed_error > gain.example_error and gain.overlap < 1:
        return (
            "Most of the uncertainty comes from other seeds and training rows. The seeds share "
            f"{gain.overlap:.0%} of their training rows, so more seeds tell little; cuts that "
            "overlap less tell more (confirm.resample, confirm.folds)."
        )
    if gain.seed_error > gain.example_error:
        return (
            "Most of the uncertainty comes from the seeds. Train with more of them "
            "(confirm.seeds), and go on with this study."
        )
    return (
        "Most of the uncertainty comes from the test rows. More seeds will not help; more test "
        "rows will."
    )


def _trivial(record: StudyRecord, best: Configuration) -> str:
    """Returns a prediction without a model that the best does not beat; empty if it does."""
    metric, predictions = record.study.compare.deciding, record.predictions
    value = best.mean_test
    if metric.name == "r2" and value <= 0:
        return "the mean of the test targets (R² is not above 0)"
    if metric.name.startswith("mase") and value >= 1:
        return "the naive forecast (MASE is not below 1)"
    if metric.name != "accuracy" or predictions is None or predictions.weights is not None:
        return ""
    truth = np.asarray(predictions.truth)
    _, counts = np.unique(truth, return_counts=True)
    share = counts.max() / len(truth) if truth.ndim == 1 else 0.0
    frequent = metric.write(share)
    return f"always the most frequent class ({frequent})" if value <= share else ""
