"""Measures the effects of hyperparameters: importance, direction, ablation, boundaries."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tuning.core.trial import ParamValue, TrialRecord
from tuning.evaluation.statistics import holm, welch
from tuning.study.file import Study
from tuning.tracking import keys

MIN_TRIALS_FOR_CORRELATION = 8
# PED-ANOVA looks at the best tenth of the trials, and needs five of them. From fewer trials, pure
# noise gives one hyperparameter more than half of the importance.
MIN_TRIALS_FOR_IMPORTANCE = 50
LEVEL = 0.05
PART_OF_THE_BEST = "part of the best configuration"


@dataclass(frozen=True)
class Effect:
    """The effect of one hyperparameter in the search.

    Attributes:
        name: Name of the hyperparameter.
        importance: Importance by PED-ANOVA, from 0 to 1; None if there are too few
            trials (``MIN_TRIALS_FOR_IMPORTANCE``).
        correlation: Spearman's rank correlation with the quality of the objective, positive if
            higher values gave better results; None without order, or of too few values.
        p_value: P-value of no correlation, adjusted for the number of hyperparameters (Holm), or
            None. It takes the trials as independent, which they are not quite.
        trials: Number of completed trials.
    """

    name: str
    importance: float | None
    correlation: float | None
    p_value: float | None
    trials: int


@dataclass(frozen=True)
class Ablation:
    """The effect of one changed hyperparameter of the winner.

    The winner is trained again with this hyperparameter set back to the baseline's value.

    Attributes:
        name: Name of the hyperparameter.
        before: Value of the baseline.
        after: Value of the winner.
        loss: Amount by which the objective is worse without the change, as a mean over the seeds;
            negative if the objective is better without the change.
        low: Lower end of Welch's interval of the loss, which covers the spread between seeds.
        high: Upper end of the same interval.
        seeds: Number of seeds of the trials without the change.
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
    """A row of the table of hyperparameters in the report.

    Attributes:
        name: Name of the hyperparameter.
        baseline: Value of the baseline; None if it has none.
        best: Value of the winner; None if it has none.
        reason: Why it was changed, as far as it was measured, in words.
    """

    name: str
    baseline: ParamValue | None
    best: ParamValue | None
    reason: str


def completed_trials(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Returns the trials that are completed and have a value."""
    return [record for record in trials if record.completed]


def effects(study: Study, search: Sequence[TrialRecord]) -> dict[str, Effect]:
    """Measures importance and direction of each hyperparameter in the completed search trials."""
    trials = completed_trials(search)
    importance = _importance(study, trials) if len(trials) >= MIN_TRIALS_FOR_IMPORTANCE else {}
    measured = {name: _correlation(study, name, trials) for name in study.space.names}
    correlations = {name: pair for name, pair in measured.items() if pair is not None}
    adjusted = holm(np.array([p_value for _, p_value in correlations.values()]))
    p_values = dict(zip(correlations, map(float, adjusted), strict=True))
    return {
        name: Effect(
            name,
            importance.get(name),
            correlations[name][0] if name in correlations else None,
            p_values.get(name),
            len(trials),
        )
        for name in study.space.names
    }


def ablations(
    study: Study,
    best: Mapping[str, ParamValue],
    validation: Sequence[float],
    trials: Sequence[TrialRecord],
) -> list[Ablation]:
    """Measures the effect of each changed hyperparameter of the winner.

    Args:
        study: Study with the baseline and the space.
        best: Configuration of the winner.
        validation: Objective values of the winner, one per seed.
        trials: Trials of the ablation.

    Returns:
        An ablation per hyperparameter that was set back. The change with the largest loss comes
        first.
    """
    sign = study.objective.sign
    results = []
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
            results.append(Ablation(name, before, after, loss, low, high, len(values)))
    return sorted(results, key=lambda ablation: -ablation.loss)


def changes(
    study: Study,
    best: Mapping[str, ParamValue],
    effects_: Mapping[str, Effect],
    ablations_: Sequence[Ablation],
) -> list[Change]:
    """Explains each difference between winner and baseline by the measurements.

    If there is an ablation, its result comes first, because it changes one hyperparameter only.
    """
    ends = study.space.at_boundary(best)
    by_name = {ablation.name: ablation for ablation in ablations_}
    rows = []
    for name in study.space.names:
        before, after = study.baseline.get(name), best.get(name)
        reason = "unchanged"
        if before != after:
            reason = _search_text(effects_[name], ends.get(name))
            if name in by_name:
                reason = f"{_ablation_text(study, by_name[name])}. In the search: {reason}"
        rows.append(Change(name, before, after, reason))
    return rows


def change_when_set_back(study: Study, ablation: Ablation) -> tuple[float, float, float]:
    """Returns how the objective changes if the value is set back, with lower and upper end."""
    if study.objective.sign > 0:
        return -ablation.loss, -ablation.high, -ablation.low
    return ablation.loss, ablation.low, ablation.high


def _ablation_text(study: Study, ablation: Ablation) -> str:
    change, low, high = change_when_set_back(study, ablation)
    text = f"if only this value is set back, {study.objective.metric} changes by {change:+.4f}"
    if not math.isfinite(low):
        return f"{text} (one seed: the spread is unknown)"
    text += f" ({low:+.4f} to {high:+.4f}, {ablation.seeds} seeds)"
    if ablation.low > 0:
        return f"{text}, which is worse"
    if ablation.high < 0:
        return f"{text}, which is better"
    return f"{text}, no clear effect"


def _search_text(effect: Effect, end: str | None) -> str:
    parts: list[str] = []
    if effect.importance is not None:
        parts.append(f"importance {effect.importance:.0%}")
    if effect.correlation is not None and effect.p_value is not None and effect.p_value < LEVEL:
        direction = "higher" if effect.correlation > 0 else "lower"
        parts.append(f"{direction} values gave better results (ρ = {effect.correlation:+.2f})")
    text = f"{', '.join(parts)}; {effect.trials} trials" if parts else PART_OF_THE_BEST
    if end is not None:
        text += f". It is the {end} value of the space; a better value may be outside the space"
    return text


def _importance(study: Study, trials: Sequence[TrialRecord]) -> dict[str, float]:
    """Returns the importances by PED-ANOVA: Watanabe, Bansal and Hutter, IJCAI 2023."""
    import optuna

    from tuning.search.optuna_searcher import frozen_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rebuilt = optuna.create_study(direction=study.objective.direction)
    for record in trials:
        params = study.searched(record.trial.params)
        rebuilt.add_trial(frozen_trial(study.space, study.objective, params, record.result))
    try:
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return dict(optuna.importance.get_param_importances(rebuilt, evaluator=evaluator))
    except (ValueError, RuntimeError):
        return {}


def _correlation(
    study: Study, name: str, trials: Sequence[TrialRecord]
) -> tuple[float, float] | None:
    """Returns Spearman's correlation with the quality of the objective, and its p-value."""
    from scipy import stats

    pairs = [
        (float(value), record.result.value)
        for record in trials
        if isinstance(value := record.trial.params.get(name), int | float)
    ]
    is_constant = any(len(set(side)) < 2 for side in zip(*pairs, strict=True))
    if len(pairs) < MIN_TRIALS_FOR_CORRELATION or is_constant:
        return None
    result = stats.spearmanr([x for x, _ in pairs], [y for _, y in pairs])
    return study.objective.sign * float(result.statistic), float(result.pvalue)
