"""From a study's record to what the comparison says: numbers only, no pictures and no text."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tuning.core.trial import Phase, TrialRecord, TrialState
from tuning.evaluation.configurations import (
    Configuration,
    choose_winner,
    confirmed_configurations,
    grouped,
)
from tuning.evaluation.effects import (
    Ablation,
    Change,
    Effect,
    ablations,
    changes,
    completed_trials,
    effects,
)
from tuning.evaluation.spending import spending
from tuning.evaluation.statistics import (
    Gain,
    McNemar,
    Verdict,
    detectable_gain,
    gain,
    holm,
    mcnemar,
    points,
    probability_of_improvement,
    verdict_of,
)
from tuning.metrics.binary import correct_examples
from tuning.study.file import Study
from tuning.study.record import StudyRecord
from tuning.tracking import keys


@dataclass(frozen=True)
class SearchAccount:
    """What one searcher spent, saved and found.

    Attributes:
        searcher: Its name.
        trials: All of them.
        completed: Trained to the end; without those that took over another trial's result.
        pruned: Stopped early.
        failed: Without a value.
        interrupted: Not ended yet.
        reused: Took over the result of another trial of the same configuration.
        epochs: Trained.
        saved_by_pruning: Epochs that pruned trials were spared.
        saved_by_continuing: Epochs taken over from the checkpoints of other trials.
        saved_by_reuse: Epochs of trials whose result was there already.
        train_seconds: Of all workers together.
        best_value: The best objective; None if no trial was completed.
        best_trial: By which trial.
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
    """A configuration against the baseline on the test split.

    Attributes:
        label: Of the configuration.
        gain: With its interval.
        p_value: Adjusted for all that are compared with the baseline.
    """

    label: str
    gain: Gain
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """Everything that the report states.

    Attributes:
        verdict: The conclusion.
        why: One sentence that explains it.
        baseline: The baseline.
        best: The winner; None if the search proposed nothing but the baseline.
        references: The study's references.
        candidates: Every confirmed candidate, the winner included.
        gain: Winner against baseline on the test split.
        mcnemar: The checkpoints of the first seed.
        improvement: P(best > baseline) with its interval.
        against_baseline: References and candidates against the baseline, p-values adjusted for
            being several. The winner's own gain needs no adjustment: it was chosen on validation.
        long_runs: Baseline and references, trained for more epochs.
        ablation: What each change of the best is worth.
        detectable: The gain that this comparison would find with 80% power.
        searches: What each searcher spent.
        effects: Importance and direction by hyperparameter.
        changes: The table of hyperparameters.
    """

    verdict: Verdict
    why: str
    baseline: Configuration
    best: Configuration | None
    references: list[Configuration]
    candidates: list[Configuration]
    gain: Gain | None
    mcnemar: McNemar | None
    improvement: tuple[float, float, float] | None
    against_baseline: list[AgainstBaseline]
    long_runs: list[Configuration]
    ablation: list[Ablation]
    detectable: float | None
    searches: list[SearchAccount]
    effects: dict[str, Effect]
    changes: list[Change]

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values; what is infinite or unknown is null."""
        document: dict[str, Any] = _jsonable(asdict(self))
        return document


def compare(record: StudyRecord) -> Comparison:
    """Compares the baseline with the winner, from the record alone.

    Raises:
        ValueError: The record has no completed baseline trial.
    """
    study = record.study
    configs = confirmed_configurations(record)
    baseline = next((config for config in configs if config.role == keys.BASELINE), None)
    if baseline is None:
        raise ValueError("the record has no completed baseline trial")
    candidates = [config for config in configs if config.role == "candidate"]
    best = choose_winner(study, candidates)
    search = record.in_phase(Phase.SEARCH)
    effects_ = effects(study, search)
    set_back = record.in_phase(Phase.ABLATION)
    worth = ablations(study, best.params, best.validation, set_back) if best else []
    found = _judge(record, baseline, best) if best is not None else None
    verdict, why = _conclude(study, best, found[0] if found else None)
    return Comparison(
        verdict=verdict,
        why=why,
        baseline=baseline,
        best=best,
        references=[config for config in configs if config.role == "reference"],
        candidates=candidates,
        gain=found[0] if found else None,
        mcnemar=found[1] if found else None,
        improvement=found[2] if found else None,
        against_baseline=_against(record, baseline, configs),
        long_runs=grouped(record, (Phase.LONG_RUN,)),
        ablation=worth,
        detectable=detectable_gain(found[0], study.compare.confidence) if found else None,
        searches=[_account(study, name, search) for name in _searchers(search)],
        effects=effects_,
        changes=changes(study, best.params, effects_, worth) if best else [],
    )


def lengthened(
    study: Study, comparison: Comparison
) -> list[list[tuple[Configuration, int | None]]]:
    """Each long run, after the same configuration's training of the study's own length.

    Both come with the most epochs that they had; what was not trained is left out.
    """
    own = {config.label: config for config in (comparison.baseline, *comparison.references)}
    epochs = study.budget.epochs, study.confirm.long_run
    return [
        [
            (config, most)
            for config, most in zip((own.get(long.label), long), epochs, strict=True)
            if config is not None
        ]
        for long in comparison.long_runs
    ]


def _judge(
    record: StudyRecord, baseline: Configuration, best: Configuration
) -> tuple[Gain, McNemar, tuple[float, float, float]] | None:
    predictions = record.predictions
    if predictions is None or not (baseline.test_accuracy and best.test_accuracy):
        return None
    first, second = (
        correct_examples(predictions, baseline.trials),
        correct_examples(predictions, best.trials),
    )
    pairs = [
        (baseline.seeds.index(seed), best.seeds.index(seed))
        for seed in baseline.seeds
        if seed in best.seeds
    ]
    if not pairs:
        return None
    ours, theirs = map(list, zip(*pairs, strict=True))
    return (
        gain(first, second, record.study.compare.confidence),
        # The first seed, chosen before anything was seen; never the luckiest.
        mcnemar(first[ours[0]], second[theirs[0]]),
        probability_of_improvement(
            np.array(baseline.test_accuracy)[ours], np.array(best.test_accuracy)[theirs]
        ),
    )


def _against(
    record: StudyRecord, baseline: Configuration, configs: Sequence[Configuration]
) -> list[AgainstBaseline]:
    predictions = record.predictions
    others = [config for config in configs if config is not baseline and config.test_accuracy]
    if predictions is None or not baseline.test_accuracy or not others:
        return []
    first = correct_examples(predictions, baseline.trials)
    gains = [
        gain(first, correct_examples(predictions, config.trials), record.study.compare.confidence)
        for config in others
    ]
    adjusted = holm(np.array([found.p_value for found in gains]))
    return [
        AgainstBaseline(config.label, found, float(p_value))
        for config, found, p_value in zip(others, gains, adjusted, strict=True)
    ]


def _conclude(study: Study, best: Configuration | None, found: Gain | None) -> tuple[Verdict, str]:
    if best is None:
        return Verdict.INCONCLUSIVE, "no candidate other than the baseline was confirmed"
    if found is None:
        return Verdict.INCONCLUSIVE, "the test split was not read"
    verdict = verdict_of(found, study.compare.min_gain)
    if not math.isfinite(found.low):
        return verdict, "one seed says nothing about the spread between seeds; use two or more"
    interval = f"{found.interval} points"
    if verdict is Verdict.BETTER:
        return verdict, f"the whole interval, {interval}, lies above zero"
    if verdict is Verdict.WORSE:
        return verdict, f"the whole interval, {interval}, lies below zero"
    if found.low > 0:
        return verdict, (
            f"the gain is real but smaller than {points(study.compare.min_gain)} points, the "
            "smallest worth having"
        )
    return verdict, f"the interval, {interval}, contains zero"


def _searchers(search: Sequence[TrialRecord]) -> list[str]:
    return list(dict.fromkeys(trial.trial.searcher for trial in search))


def _account(study: Study, searcher: str, search: Sequence[TrialRecord]) -> SearchAccount:
    own = [trial for trial in search if trial.trial.searcher == searcher]
    spent = {name: int(value) for name, value in spending(own).items()}
    best = min(
        completed_trials(own),
        key=lambda trial: study.objective.key(trial.result.value or 0.0),
        default=None,
    )
    return SearchAccount(
        searcher=searcher,
        trials=len(own),
        completed=spent["trials_completed"],
        pruned=spent["trials_pruned"],
        failed=spent["trials_failed"],
        interrupted=sum(trial.result.state is TrialState.INTERRUPTED for trial in own),
        reused=spent["trials_reused"],
        epochs=spent["epochs_trained"],
        saved_by_pruning=spent["epochs_saved_by_pruning"],
        saved_by_continuing=spent["epochs_saved_by_continuing"],
        saved_by_reuse=spent["epochs_saved_by_reuse"],
        train_seconds=sum(trial.result.duration_s for trial in own),
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
