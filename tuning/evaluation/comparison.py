"""Computes the comparison of the baseline and the winner from the record of a study."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tuning.core.record import Predictions
from tuning.core.trial import Phase, TrialRecord, TrialState
from tuning.evaluation import intervals, statistics
from tuning.evaluation.configurations import Configuration, choose_winner, grouped
from tuning.evaluation.effects import Ablation, Change, Effect, ablations, changes, effects
from tuning.evaluation.forecasts import DieboldMariano, diebold_mariano
from tuning.evaluation.gains import gain as gain_between
from tuning.evaluation.intervals import Gain, Verdict
from tuning.evaluation.spending import spending
from tuning.evaluation.statistics import McNemar
from tuning.metrics.classification import is_right
from tuning.study.file import Study
from tuning.study.record import StudyRecord
from tuning.tracking import keys


@dataclass(frozen=True)
class SearchAccount:
    """The cost and the result of one searcher.

    Attributes:
        searcher: Name of the searcher.
        trials: Number of all its trials.
        completed: Number of completed trials, without the reused ones.
        pruned: Number of trials that were stopped early.
        failed: Number of failed trials.
        interrupted: Number of trials without an end.
        reused: Number of trials that took the result of a trial of the same configuration.
        epochs: Number of trained epochs.
        saved_by_pruning: Number of epochs that pruned trials did not train.
        saved_by_continuing: Number of epochs that came from checkpoints of other trials.
        saved_by_reuse: Number of epochs of the reused trials.
        train_seconds: Training time of all workers together, in seconds.
        best_value: Best objective; None if no trial was completed.
        best_trial: Name of the trial with the best objective; empty if no trial was completed.
    """

    searcher: str
    trials: int
    completed: int
    pruned: int
    failed: int
    interrupted: int
    reused: int
    epochs: int
    saved_by_pruning: int
    saved_by_continuing: int
    saved_by_reuse: int
    train_seconds: float
    best_value: float | None
    best_trial: str


@dataclass(frozen=True)
class AgainstBaseline:
    """The comparison of a configuration with the baseline on the test split.

    Attributes:
        label: Label of the configuration.
        gain: Gain over the baseline, with its interval.
        p_value: P-value, adjusted for the number of configurations (Holm).
    """

    label: str
    gain: Gain
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """The results of a study, as the report shows them.

    ``gain``, ``mcnemar``, ``improvement`` and ``detectable`` are None if there is no winner, if
    the test split is not read yet, or if the baseline and the winner have no seed in common.

    Attributes:
        verdict: Verdict of the comparison.
        why: Reason for the verdict, in one sentence.
        baseline: Configuration of the baseline.
        best: Configuration of the winner; None if no candidate completed all fresh seeds.
        references: Reference configurations of the study.
        candidates: Confirmed candidates, including the winner.
        gain: Gain of the winner over the baseline on the test split.
        mcnemar: McNemar's test of baseline and winner, for the first seed that both have; None
            also if they are no classifiers of single, equally weighted examples.
        diebold_mariano: Test of Diebold and Mariano of the same two models; None if the rows have
            no times.
        improvement: Probability that the winner beats the baseline, and its lower and upper limit.
        against_baseline: Comparisons of references and candidates with the baseline. Their
            p-values are adjusted; that in ``gain`` needs no adjustment.
        long_runs: Configurations of baseline and references, trained for more epochs.
        ablation: Effect of each changed hyperparameter of the winner.
        detectable: Gain that this comparison would detect with 80% power.
        searches: Cost and result of each searcher.
        effects: Importance and direction of each hyperparameter, by name.
        changes: Table of the hyperparameters.
    """

    verdict: Verdict
    why: str
    baseline: Configuration
    best: Configuration | None
    references: list[Configuration]
    candidates: list[Configuration]
    gain: Gain | None
    mcnemar: McNemar | None
    diebold_mariano: DieboldMariano | None
    improvement: tuple[float, float, float] | None
    against_baseline: list[AgainstBaseline]
    long_runs: list[Configuration]
    ablation: list[Ablation]
    detectable: float | None
    searches: list[SearchAccount]
    effects: dict[str, Effect]
    changes: list[Change]

    def to_json(self) -> dict[str, Any]:
        """Returns the comparison as JSON values. Infinite and unknown numbers become null."""
        return dict(_jsonable(asdict(self)))


def compare(record: StudyRecord) -> Comparison:
    """Compares the baseline with the winner. The record is the only input.

    Raises:
        ValueError: The record has no completed baseline trial.
    """
    study = record.study
    configs = grouped(record, keys.CONFIRMED)
    baseline = next((config for config in configs if config.role == keys.BASELINE), None)
    if baseline is None:
        raise ValueError("the record has no completed baseline trial")
    candidates = [config for config in configs if config.role == "candidate"]
    best = choose_winner(study, candidates)
    search = record.in_phase(Phase.SEARCH)
    effects_ = effects(study, search)
    trials = record.in_phase(Phase.ABLATION)
    ablation = ablations(study, best.params, best.validation, trials) if best else []
    tests = _test(record, baseline, best) if best is not None else None
    gain, mcnemar, forecasts, improvement = tests or (None, None, None, None)
    verdict, why = _conclude(study, best, gain)
    searchers = dict.fromkeys(trial.trial.searcher for trial in search)
    return Comparison(
        verdict=verdict,
        why=why,
        baseline=baseline,
        best=best,
        references=[config for config in configs if config.role == "reference"],
        candidates=candidates,
        gain=gain,
        mcnemar=mcnemar,
        diebold_mariano=forecasts,
        improvement=improvement,
        against_baseline=_against(record, baseline, configs),
        long_runs=grouped(record, (Phase.LONG_RUN,)),
        ablation=ablation,
        detectable=intervals.detectable_gain(gain, study.compare.confidence) if gain else None,
        searches=[_account(study, name, search) for name in searchers],
        effects=effects_,
        changes=changes(study, best.params, effects_, ablation) if best else [],
    )


def lengthened(
    study: Study, comparison: Comparison
) -> list[list[tuple[Configuration, int | None]]]:
    """Pairs each long run with the normal training of the same configuration.

    Each entry is a configuration and its maximum number of epochs per trial. The normal training
    comes first; it is left out if it does not exist.
    """
    normal = {config.label: config for config in (comparison.baseline, *comparison.references)}
    epochs = study.budget.epochs, study.confirm.long_run
    return [
        [
            (config, max_epochs)
            for config, max_epochs in zip((normal.get(run.label), run), epochs, strict=True)
            if config is not None
        ]
        for run in comparison.long_runs
    ]


def _test(
    record: StudyRecord, baseline: Configuration, best: Configuration
) -> tuple[Gain, McNemar | None, DieboldMariano | None, tuple[float, float, float]] | None:
    predictions, rule = record.predictions, record.study.compare
    if predictions is None or not (baseline.test and best.test):
        return None
    common = [seed for seed in baseline.seeds if seed in best.seeds]
    if not common:
        return None
    first_rows = [baseline.seeds.index(seed) for seed in common]
    second_rows = [best.seeds.index(seed) for seed in common]
    # Always the first common seed: a choice by the results would bias the test.
    models = baseline.trials[first_rows[0]], best.trials[second_rows[0]]
    sign = rule.deciding.sign
    return (
        _gain(record, predictions, baseline, best),
        _mcnemar(predictions, models, rule.confidence),
        diebold_mariano(rule.deciding, *((predictions, [name]) for name in models)),
        statistics.probability_of_improvement(
            sign * np.array(baseline.test)[first_rows],
            sign * np.array(best.test)[second_rows],
            rule.confidence,
        ),
    )


def _mcnemar(
    predictions: Predictions, models: tuple[str, str], confidence: float
) -> McNemar | None:
    if predictions.kind == "regression" or predictions.weights is not None:
        return None
    first, second = (is_right(predictions.truth, predictions.outputs[name]) for name in models)
    depends = predictions.times is not None or predictions.groups is not None
    if predictions.steps > 1 or depends:
        return None  # the rows are not independent
    return statistics.mcnemar(first, second, confidence)


def _against(
    record: StudyRecord, baseline: Configuration, configs: Sequence[Configuration]
) -> list[AgainstBaseline]:
    predictions = record.predictions
    others = [config for config in configs if config is not baseline and config.test]
    if predictions is None or not baseline.test or not others:
        return []
    gains = [_gain(record, predictions, baseline, config) for config in others]
    adjusted = statistics.holm(np.array([gain.p_value for gain in gains]))
    return [
        AgainstBaseline(config.label, gain, float(p_value))
        for config, gain, p_value in zip(others, gains, adjusted, strict=True)
    ]


def _gain(
    record: StudyRecord, predictions: Predictions, first: Configuration, second: Configuration
) -> Gain:
    """Returns the gain of the second configuration, of the seeds in common if they have cuts."""
    rule = record.study.compare
    common = [seed for seed in first.seeds if seed in second.seeds]
    paired = predictions.overlap < 1 and bool(common)
    trials = [first.trials, second.trials]
    if paired:
        trials = [[c.trials[c.seeds.index(seed)] for seed in common] for c in (first, second)]
    tested = [(predictions, names) for names in trials]
    return gain_between(rule.deciding, tested[0], tested[1], rule.confidence, paired=paired)


def _conclude(study: Study, best: Configuration | None, gain: Gain | None) -> tuple[Verdict, str]:
    if best is None:
        return Verdict.INCONCLUSIVE, "no candidate other than the baseline was confirmed"
    if gain is None:
        return Verdict.INCONCLUSIVE, (
            "the test split was not read, or the baseline and the winner have no seed in common"
        )
    metric = study.compare.deciding
    verdict = intervals.verdict_of(gain, study.compare.min_gain)
    if math.isnan(gain.estimate):
        return verdict, "a model's predictions on the test split are not finite numbers"
    if not math.isfinite(gain.low):
        return verdict, _why_unknown(gain)
    interval = f"{metric.write_interval(gain.low, gain.high)}{metric.unit}"
    if verdict is Verdict.BETTER:
        return verdict, f"the whole interval, {interval}, lies above zero"
    if verdict is Verdict.WORSE:
        return verdict, f"the whole interval, {interval}, lies below zero"
    if gain.low > 0:
        return verdict, (
            f"the whole interval, {interval}, lies above zero, but the gain is smaller than "
            f"{metric.write_gain(study.compare.min_gain)}{metric.unit} (compare.min_gain)"
        )
    return verdict, f"the interval, {interval}, contains zero"


def _why_unknown(gain: Gain) -> str:
    """Says why a gain has no interval."""
    if gain.rows is not None and gain.rows.draws <= 1:
        return f"all test rows are one {gain.rows.unit}, which shows nothing about others"
    if not math.isfinite(gain.example_error):
        unit = gain.rows.unit if gain.rows else "example"
        return (
            f"a class stands in so few {unit}s of the test rows that the spread between "
            f"{unit}s is unknown"
        )
    return "one seed does not show the spread between seeds; use two or more seeds"


def _account(study: Study, searcher: str, search: Sequence[TrialRecord]) -> SearchAccount:
    trials = [trial for trial in search if trial.trial.searcher == searcher]
    spent = {name: int(value) for name, value in spending(trials).items()}
    completed = [trial for trial in trials if trial.completed]
    best = min(completed, key=lambda t: study.objective.key(t.result.value or 0.0), default=None)
    return SearchAccount(
        searcher=searcher,
        trials=len(trials),
        completed=spent[keys.TRIALS_COMPLETED],
        pruned=spent[keys.TRIALS_PRUNED],
        failed=spent[keys.TRIALS_FAILED],
        interrupted=sum(trial.result.state is TrialState.INTERRUPTED for trial in trials),
        reused=spent[keys.TRIALS_REUSED],
        epochs=spent[keys.EPOCHS_TRAINED],
        saved_by_pruning=spent[keys.EPOCHS_SAVED_BY_PRUNING],
        saved_by_continuing=spent[keys.EPOCHS_SAVED_BY_CONTINUING],
        saved_by_reuse=spent[keys.EPOCHS_SAVED_BY_REUSE],
        train_seconds=sum(trial.result.duration_s for trial in trials),
        best_value=best.result.value if best else None,
        best_trial=best.trial.name if best else "",
    )


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
