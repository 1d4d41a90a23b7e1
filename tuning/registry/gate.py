"""Applies the rule of the study file that decides whether a version may become champion.

All functions are pure.
"""

from dataclasses import dataclass
from typing import NamedTuple

from tuning.evaluation.intervals import Gain
from tuning.metrics.metric import Metric
from tuning.study.sections import GateRule


@dataclass(frozen=True)
class Rival:
    """The present champion, with the facts for a comparison with the challenger.

    Attributes:
        version: Number of the champion's version.
        metric: Name of the test metric.
        difference: Test metric of the challenger minus that of the champion, on the same test
            rows; None if it cannot be computed from their stored predictions.
        same_rows: Whether both were judged on the same test rows.
        objections: Reasons why what the store says about the champion cannot be trusted.
        direction: Direction of the test metric; empty if unknown.
    """

    version: str
    metric: str
    difference: Gain | None
    same_rows: bool = True
    objections: tuple[str, ...] = ()
    direction: str = ""


@dataclass(frozen=True)
class GateInputs:
    """The facts about a version that the gate checks. None means unknown, except for champion.

    A fact that is unknown refuses the version, if the rule has a limit for it.

    Attributes:
        verdict: Verdict of the study.
        gain_low: Lower end of the confidence interval of the gain over the study's baseline, in
            the unit of the metric.
        metric: Test metric.
        behaviour_regression: Largest increase of a behaviour's failure rate over the baseline's,
            from -1 to 1.
        size_mb: Size of the model's files in megabytes.
        latency_ms: Median time for the prediction of one input, in milliseconds.
        champion: Present champion; None if there is no champion, or if it is this version.
        lost_champion: Number of the last champion, if no version has the alias now although there
            was a champion; empty otherwise.
        look: Number of the look at the test rows; None if looks were not counted.
        objections: Reasons why what the store says about the version cannot be trusted.
    """

    verdict: str
    gain_low: float | None
    metric: Metric
    behaviour_regression: float | None = None
    size_mb: float | None = None
    latency_ms: float | None = None
    champion: Rival | None = None
    lost_champion: str = ""
    look: int | None = None
    objections: tuple[str, ...] = ()


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
    objections = [
        *inputs.objections,
        *_against_baseline(rule, inputs),
        *_within_limits(rule, inputs),
    ]
    if inputs.champion is not None:
        objections += _against_champion(rule, inputs, inputs.champion)
    if inputs.lost_champion:
        objections.append(
            f"champion {inputs.lost_champion} was deleted or has lost its alias, so nothing can "
            "be compared with it; run rollback first, which makes the last champion that is left "
            "champion again"
        )
    if objections:
        return Gate(False, tuple(objections))
    summary = f"verdict better, gain at least {_gain(inputs.metric, inputs.gain_low or 0)}"
    if inputs.champion is not None and inputs.champion.difference is not None:
        difference = _gain(inputs.metric, inputs.champion.difference.estimate)
        summary += f", {difference} against champion {inputs.champion.version}"
    if inputs.look is not None:
        summary += f", look {inputs.look} at these test rows"
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
    objections = []
    for limit in _limits(rule, inputs):
        if limit.limit is None:
            continue
        if limit.measured is None:
            objections.append(
                f"the {limit.name} was not measured, and {limit.field} is set; unset it to "
                "promote without"
            )
        elif limit.measured > limit.limit:
            objections.append(
                f"the {limit.name} is {limit.measured:g}{limit.unit}, above the limit of "
                f"{limit.limit:g}{limit.unit} ({limit.field})"
            )
    return objections


def describe_limits(rule: GateRule, inputs: GateInputs) -> str:
    """Returns the measured values with their limits, as one line of text."""
    parts = []
    for limit in _limits(rule, inputs):
        value = "not measured" if limit.measured is None else f"{limit.measured:g}{limit.unit}"
        bound = "no limit" if limit.limit is None else f"at most {limit.limit:g}{limit.unit}"
        parts.append(f"{limit.name} {value} ({bound})")
    return ", ".join(parts)


class _Limit(NamedTuple):
    name: str
    unit: str
    field: str
    measured: float | None
    limit: float | None


def _limits(rule: GateRule, inputs: GateInputs) -> list[_Limit]:
    regression = inputs.behaviour_regression, rule.max_behaviour_regression
    return [
        _Limit("behaviour regression", "", "gate.max_behaviour_regression", *regression),
        _Limit("size", " MB", "gate.max_size_mb", inputs.size_mb, rule.max_size_mb),
        _Limit("latency", " ms", "gate.max_latency_ms", inputs.latency_ms, rule.max_latency_ms),
    ]


def _gain(metric: Metric, gain: float) -> str:
    return f"{metric.write_gain(gain)}{metric.unit}"


def _against_champion(rule: GateRule, inputs: GateInputs, champion: Rival) -> list[str]:
    if champion.objections:
        return [f"champion {champion.version}: {reason}" for reason in champion.objections]
    if not champion.same_rows:
        return ["it was tested on other data than the champion: the test rows are not the same"]
    if inputs.metric.name != champion.metric:
        name = inputs.metric.name
        return [f"its test metric is {name}, that of the champion is {champion.metric}"]
    if champion.direction and inputs.metric.direction != champion.direction:
        directions = f"{inputs.metric.direction}, and that of the champion to {champion.direction}"
        return [f"its test metric {inputs.metric.name} is to {directions}"]
    difference = champion.difference
    if difference is None:
        return ["it cannot be compared with the champion: predictions are missing or do not match"]
    interval = inputs.metric.write_interval(difference.low, difference.high)
    text = f"{_gain(inputs.metric, difference.estimate)} ({interval}) on the same test rows"
    if rule.over_champion == "better" and not difference.low > 0:
        return [f"it is not clearly better than champion {champion.version}: {text}"]
    if rule.over_champion == "not_worse" and not difference.estimate >= 0:
        return [f"it is worse than champion {champion.version}: {text}"]
    return []
