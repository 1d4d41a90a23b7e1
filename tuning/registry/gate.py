"""The rule by which a version may become champion: pure, written in the study file."""

from dataclasses import dataclass

from tuning.evaluation.statistics import Gain, points
from tuning.study.sections import GateRule


@dataclass(frozen=True)
class Rival:
    """The present champion, as far as it can be compared.

    Attributes:
        version: Its number.
        digest: Of the data that it was judged on.
        metric: That it was judged by.
        difference: The challenger's accuracy minus its own on the same test rows; None if its
            predictions cannot be had.
    """

    version: str
    digest: str
    metric: str
    difference: Gain | None


@dataclass(frozen=True)
class GateInputs:
    """What the gate looks at; None is unknown.

    Attributes:
        verdict: Of the study.
        gain_low: Lower end of the interval on the gain over the study's baseline.
        digest: Of the data.
        metric: That the models were judged by.
        behaviour_regression: The largest increase of a behaviour's failure rate over the
            baseline's, from 0 to 1.
        size_mb: Of the model's files.
        latency_ms: Of one input, median.
        champion: The present one; None if there is none, or it is this version.
    """

    verdict: str
    gain_low: float | None
    digest: str
    metric: str
    behaviour_regression: float | None = None
    size_mb: float | None = None
    latency_ms: float | None = None
    champion: Rival | None = None


@dataclass(frozen=True)
class Gate:
    """Whether a version may become champion, and why.

    Attributes:
        passed: Whether every condition holds.
        reasons: The conditions that do not hold; if all do, what was found.
    """

    passed: bool
    reasons: tuple[str, ...]


def apply_gate(rule: GateRule, inputs: GateInputs) -> Gate:
    """Applies the rule."""
    against = [*_against_baseline(rule, inputs), *_within_limits(rule, inputs)]
    if inputs.champion is not None:
        against += _against_champion(rule, inputs, inputs.champion)
    if against:
        return Gate(False, tuple(against))
    found = f"verdict better, gain at least {points(inputs.gain_low or 0)} points"
    if inputs.champion is not None and inputs.champion.difference is not None:
        more = points(inputs.champion.difference.estimate)
        found += f", {more} points against champion {inputs.champion.version}"
    return Gate(True, (found,))


def _against_baseline(rule: GateRule, inputs: GateInputs) -> list[str]:
    found = []
    if inputs.verdict != "better":
        found.append(f"its verdict is {inputs.verdict or 'unknown'}, not better")
    if inputs.gain_low is None:
        found.append("the interval on its gain is unknown")
    elif inputs.gain_low <= rule.min_gain_low:
        found.append(
            f"the lower end of its gain, {points(inputs.gain_low)} points, is not above "
            f"{points(rule.min_gain_low)} (gate.min_gain_low)"
        )
    return found


def _within_limits(rule: GateRule, inputs: GateInputs) -> list[str]:
    checks = (
        ("behaviour_regression", inputs.behaviour_regression, rule.max_behaviour_regression),
        ("size_mb", inputs.size_mb, rule.max_size_mb),
        ("latency_ms", inputs.latency_ms, rule.max_latency_ms),
    )
    return [
        f"its {name.replace('_', ' ')} {value:g} is above {limit:g} (gate.max_{name})"
        for name, value, limit in checks
        if value is not None and limit is not None and value > limit
    ]


def _against_champion(rule: GateRule, inputs: GateInputs, champion: Rival) -> list[str]:
    if inputs.digest != champion.digest:
        return ["it was measured on other data than the champion"]
    if inputs.metric != champion.metric:
        return [f"it was judged by {inputs.metric}, the champion by {champion.metric}"]
    difference = champion.difference
    if difference is None:
        return ["the champion's predictions are gone, so the two cannot be compared"]
    shown = f"{points(difference.estimate)} points ({difference.interval}) on the same test rows"
    if rule.over_champion == "better" and difference.low <= 0:
        return [f"it is not shown to be better than champion {champion.version}: {shown}"]
    if rule.over_champion == "not_worse" and difference.estimate < 0:
        return [f"it is worse than champion {champion.version}: {shown}"]
    return []
