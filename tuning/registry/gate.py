"""Applies the rule of the study file that decides whether a version may become champion.

All functions are pure.
"""

from dataclasses import dataclass

from tuning.evaluation.statistics import Gain
from tuning.metrics.metric import Metric
from tuning.study.sections import GateRule


@dataclass(frozen=True)
class Rival:
    """The present champion, with the facts for a comparison with the challenger.

    Attributes:
        version: Number of the champion's version.
        digest: Digest of the data that the champion was tested on.
        metric: Name of the test metric.
        difference: Test metric of the challenger minus that of the champion, on the same test
            rows; None if it cannot be computed from their stored predictions.
    """

    version: str
    digest: str
    metric: str
    difference: Gain | None


@dataclass(frozen=True)
class GateInputs:
    """The facts about a version that the gate checks. None means unknown, except for champion.

    Attributes:
        verdict: Verdict of the study.
        gain_low: Lower end of the confidence interval of the gain over the study's baseline, in
            the unit of the metric.
        digest: Digest of the data.
        metric: Test metric.
        behaviour_regression: Largest increase of a behaviour's failure rate over the baseline's,
            from -1 to 1.
        size_mb: Size of the model's files in megabytes.
        latency_ms: Median time for the prediction of one input, in milliseconds.
        champion: Present champion; None if there is no champion, or if it is this version.
    """

    verdict: str
    gain_low: float | None
    digest: str
    metric: Metric
    behaviour_regression: float | None = None
    size_mb: float | None = None
    latency_ms: float | None = None
    champion: Rival | None = None


@dataclass(frozen=True)
class Gate:
    """The decision on whether a version may become champion.

    Attributes:
        passed: Whether every condition of the rule holds.
        reasons: Conditions that do not hold; if all hold, a summary of the facts.
    """

    passed: bool
    reasons: tuple[str, ...]


def apply_gate(rule: GateRule, inputs: GateInputs) -> Gate:
    """Applies the rule to a version and returns the decision."""
    objections = [*_against_baseline(rule, inputs), *_within_limits(rule, inputs)]
    if inputs.champion is not None:
        objections += _against_champion(rule, inputs, inputs.champion)
    if objections:
        return Gate(False, tuple(objections))
    summary = f"verdict better, gain at least {_gain(inputs.metric, inputs.gain_low or 0)}"
    if inputs.champion is not None and inputs.champion.difference is not None:
        difference = _gain(inputs.metric, inputs.champion.difference.estimate)
        summary += f", {difference} against champion {inputs.champion.version}"
    return Gate(True, (summary,))


def _against_baseline(rule: GateRule, inputs: GateInputs) -> list[str]:
    objections = []
    if inputs.verdict != "better":
        objections.append(f"the verdict is {inputs.verdict or 'unknown'}, not better")
    if inputs.gain_low is None:
        objections.append("the confidence interval of the gain is unknown")
    elif inputs.gain_low <= rule.min_gain_low:
        objections.append(
            f"the lower end of the gain's interval is {_gain(inputs.metric, inputs.gain_low)}, "
            f"not above the limit of {_gain(inputs.metric, rule.min_gain_low)} (gate.min_gain_low)"
        )
    return objections


def _within_limits(rule: GateRule, inputs: GateInputs) -> list[str]:
    checks = (
        ("behaviour regression", "", inputs.behaviour_regression, rule.max_behaviour_regression),
        ("size", " MB", inputs.size_mb, rule.max_size_mb),
        ("latency", " ms", inputs.latency_ms, rule.max_latency_ms),
    )
    return [
        f"the {name} is {value:g}{unit}, above the limit of {limit:g}{unit} "
        f"(gate.max_{(name + unit).lower().replace(' ', '_')})"
        for name, unit, value, limit in checks
        if value is not None and limit is not None and value > limit
    ]


def _gain(metric: Metric, gain: float) -> str:
    return f"{metric.write_gain(gain)}{metric.unit}"


def _against_champion(rule: GateRule, inputs: GateInputs, champion: Rival) -> list[str]:
    if inputs.digest != champion.digest:
        return ["it was tested on other data than the champion"]
    if inputs.metric.name != champion.metric:
        name = inputs.metric.name
        return [f"its test metric is {name}, that of the champion is {champion.metric}"]
    difference = champion.difference
    if difference is None:
        return ["it cannot be compared with the champion: predictions are missing or do not match"]
    interval = inputs.metric.write_interval(difference.low, difference.high)
    text = f"{_gain(inputs.metric, difference.estimate)} ({interval}) on the same test rows"
    if rule.over_champion == "better" and difference.low <= 0:
        return [f"it is not clearly better than champion {champion.version}: {text}"]
    if rule.over_champion == "not_worse" and difference.estimate < 0:
        return [f"it is worse than champion {champion.version}: {text}"]
    return []
