"""What a study shows about the hyperparameters: importance, direction, ablation, boundaries."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tuning.core.trial import ParamValue, TrialRecord
from tuning.evaluation.statistics import welch
from tuning.study.file import Study
from tuning.tracking import keys

MIN_TRIALS_FOR_EFFECTS = 8


@dataclass(frozen=True)
class Effect:
    """One hyperparameter in the search.

    Attributes:
        name: The hyperparameter.
        importance: Its share of the explained variance, from 0 to 1; None if too few trials.
        correlation: Spearman's rank correlation with the objective, positive where higher values
            did better; None for values without order.
        p_value: Of no correlation.
        trials: Completed trials that this rests on.
    """

    name: str
    importance: float | None
    correlation: float | None
    p_value: float | None
    trials: int


@dataclass(frozen=True)
class Ablation:
    """The best with one hyperparameter set back to the baseline's value.

    Attributes:
        name: The hyperparameter.
        before: The baseline's value.
        after: The best's.
        loss: How much worse the objective is without the change, mean over seeds; negative if it
            is better without it.
        low: Lower end of the interval, between seeds alone (Welch).
        high: Upper end.
        seeds: With how many it was trained.
    """

    name: str
    before: ParamValue
    after: ParamValue
    loss: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class Change:
    """A row of the notebook's table of hyperparameters."""

    name: str
    baseline: ParamValue | None
    best: ParamValue | None
    reason: str


def completed_trials(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials that were trained to their end."""
    return [record for record in trials if record.completed]


def effects(study: Study, search: Sequence[TrialRecord]) -> dict[str, Effect]:
    """Measures every hyperparameter's importance and direction on the completed search trials."""
    done = completed_trials(search)
    importance = _importance(study, done) if len(done) >= MIN_TRIALS_FOR_EFFECTS else {}
    return {
        name: Effect(name, importance.get(name), *_correlation(study, name, done), len(done))
        for name in study.space.names
    }


def ablations(
    study: Study,
    best: Mapping[str, ParamValue],
    validation: Sequence[float],
    trials: Sequence[TrialRecord],
) -> list[Ablation]:
    """Measures what each change of the best is worth.

    Args:
        study: The study.
        best: The winner's configuration.
        validation: Its objective, by seed.
        trials: Those of the ablation.

    Returns:
        One for each hyperparameter that was set back, the most valuable change first.
    """
    sign = 1 if study.objective.direction == "maximize" else -1
    found = []
    for name in study.space.names:
        values = [
            trial.result.value
            for trial in completed_trials(trials)
            if trial.trial.tags.get(keys.CANDIDATE) == name and trial.result.value is not None
        ]
        if values and name in study.baseline and name in best:
            loss, low, high = welch(
                sign * np.array(validation), sign * np.array(values), study.compare.confidence
            )
            before, after = study.baseline[name], best[name]
            found.append(Ablation(name, before, after, loss, low, high, len(values)))
    return sorted(found, key=lambda ablation: -ablation.loss)


def changes(
    study: Study,
    best: Mapping[str, ParamValue],
    effects_: Mapping[str, Effect],
    ablations_: Sequence[Ablation],
) -> list[Change]:
    """Explains, from what was measured, why the best differs from the baseline.

    An ablation comes first where there is one: it alone sets a single hyperparameter back.
    """
    ends = study.space.at_boundary(best)
    worth = {ablation.name: ablation for ablation in ablations_}
    found = []
    for name in study.space.names:
        before, after = study.baseline.get(name), best.get(name)
        reason = "unchanged"
        if before != after:
            reason = _seen_in_search(effects_[name], ends.get(name))
            if name in worth:
                reason = f"{_of_setting_back(study, worth[name])}. In the search: {reason}"
        found.append(Change(name, before, after, reason))
    return found


def change_when_set_back(study: Study, ablation: Ablation) -> tuple[float, float, float]:
    """By how much the objective's value changes, and the ends of the interval."""
    if study.objective.direction == "maximize":
        return -ablation.loss, -ablation.high, -ablation.low
    return ablation.loss, ablation.low, ablation.high


def _of_setting_back(study: Study, ablation: Ablation) -> str:
    change, low, high = change_when_set_back(study, ablation)
    text = f"set back alone, {study.objective.metric} changes by {change:+.4f}"
    if not math.isfinite(low):
        return f"{text} (one seed: the spread is unknown)"
    text += f" ({low:+.4f} to {high:+.4f}, {ablation.seeds} seeds)"
    if ablation.low > 0:
        return f"{text}, for the worse"
    if ablation.high < 0:
        return f"{text}, for the better"
    return f"{text}: no effect shown"


def _seen_in_search(effect: Effect, end: str | None) -> str:
    parts: list[str] = []
    if effect.importance is not None:
        parts.append(f"importance {effect.importance:.0%}")
    if effect.correlation is not None and effect.p_value is not None:
        if effect.p_value < 0.05:
            direction = "higher" if effect.correlation > 0 else "lower"
            parts.append(f"{direction} values did better (ρ = {effect.correlation:+.2f})")
        else:
            parts.append(f"no clear effect by itself (ρ = {effect.correlation:+.2f})")
    if not parts:
        parts.append("part of the best configuration found; too few trials to say more")
    text = f"{', '.join(parts)}; {effect.trials} trials"
    if end is not None:
        text += f". It is the {end} value of the space: better ones may lie beyond"
    return text


def _importance(study: Study, done: Sequence[TrialRecord]) -> dict[str, float]:
    """PED-ANOVA as Optuna has it (Watanabe et al., IJCAI 2023); indicative on few trials."""
    import optuna

    from tuning.search.optuna_searcher import frozen_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rebuilt = optuna.create_study(direction=study.objective.direction)
    for record in done:
        params = study.searched(record.trial.params)
        rebuilt.add_trial(frozen_trial(study.space, study.objective, params, record.result))
    try:
        return dict(optuna.importance.get_param_importances(rebuilt))
    except (ValueError, RuntimeError):
        return {}


def _correlation(
    study: Study, name: str, done: Sequence[TrialRecord]
) -> tuple[float | None, float | None]:
    from scipy import stats

    pairs = [
        (float(value), record.result.value)
        for record in done
        if isinstance(value := record.trial.params.get(name), int | float)
    ]
    if len(pairs) < MIN_TRIALS_FOR_EFFECTS or any(
        len(set(side)) < 2 for side in zip(*pairs, strict=True)
    ):
        return None, None
    result = stats.spearmanr([x for x, _ in pairs], [y for _, y in pairs])
    sign = 1 if study.objective.direction == "maximize" else -1
    return sign * float(result.statistic), float(result.pvalue)
