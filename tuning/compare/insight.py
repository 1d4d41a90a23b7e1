"""What the search shows about the hyperparameters: importance, direction, boundaries."""

from collections.abc import Sequence
from dataclasses import dataclass

from tuning.study import Study
from tuning.trial import ParamValue, TrialRecord

MIN_TRIALS = 8


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
class Change:
    """A row of the notebook's table of hyperparameters."""

    name: str
    baseline: ParamValue | None
    best: ParamValue | None
    reason: str


def completed(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials that were trained to their end."""
    return [record for record in trials if record.completed]


def effects(study: Study, search: Sequence[TrialRecord]) -> dict[str, Effect]:
    """Measures every hyperparameter's importance and direction on the completed search trials."""
    done = completed(search)
    importance = _importance(study, done) if len(done) >= MIN_TRIALS else {}
    return {
        name: Effect(name, importance.get(name), *_correlation(study, name, done), len(done))
        for name in study.space.names
    }


def changes(
    study: Study, best: dict[str, ParamValue], effects_: dict[str, Effect]
) -> list[Change]:
    """Explains, from what was measured, why the best differs from the baseline."""
    ends = study.space.at_boundary(best)
    return [
        Change(
            name,
            study.baseline.get(name),
            best.get(name),
            _reason(study.baseline.get(name), best.get(name), effects_[name], ends.get(name)),
        )
        for name in study.space.names
    ]


def _reason(
    before: ParamValue | None, after: ParamValue | None, effect: Effect, end: str | None
) -> str:
    if before == after:
        return "unchanged"
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

    from tuning.search.optuna_search import frozen_trial

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
    if len(pairs) < MIN_TRIALS or any(len(set(side)) < 2 for side in zip(*pairs, strict=True)):
        return None, None
    result = stats.spearmanr([x for x, _ in pairs], [y for _, y in pairs])
    sign = 1 if study.objective.direction == "maximize" else -1
    return sign * float(result.statistic), float(result.pvalue)
