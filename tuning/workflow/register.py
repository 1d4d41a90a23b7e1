"""Registers the best model of a study, and promotes it if the gate allows it."""

from typing import TYPE_CHECKING

from tuning.core.errors import PromotionRefusedError
from tuning.core.task import Serves
from tuning.core.trial import TrialRecord
from tuning.metrics.metric import rounded
from tuning.study.record import StudyRecord
from tuning.tracking import keys
from tuning.tracking.retry import RetryPolicy
from tuning.workflow.judge import model_files
from tuning.workflow.study_run import StudyRun

if TYPE_CHECKING:
    from tuning.evaluation.comparison import Comparison


def register_best(
    study_run: StudyRun, record: StudyRecord, comparison: "Comparison"
) -> tuple[str, bool]:
    """Registers the best configuration's model of the first seed as challenger.

    Then promotes it to champion if the gate allows it and the options do not forbid it.

    Returns:
        Name and version as ``name/version``, empty if nothing is registered; and whether the
        version was promoted to champion.
    """
    best = comparison.best
    if best is None or comparison.gain is None:
        return "", False
    cannot_serve = record.data.cannot_serve
    if not isinstance(study_run.prepared.task, Serves):
        cannot_serve = cannot_serve or "the task has no serve"
    if cannot_serve:
        study_run.progress.say(f"\nNothing is registered: {cannot_serve}")
        return "", False
    # The first seed, not the best one: the best seed would have been chosen by luck.
    first = next(trial for trial in record.trials if trial.trial.name == best.trials[0])
    try:
        name, version = _register(study_run, record, comparison, first)
    except PromotionRefusedError as refusal:
        study_run.progress.say(f"\n{refusal}")
        return "", False
    study_run.progress.say(f"\nRegistered {name} version {version} as {keys.CHALLENGER}")
    if study_run.prepared.plan.options.promote == "never":
        return f"{name}/{version}", False
    return f"{name}/{version}", _promote(study_run, record, name, version)


def _register(
    study_run: StudyRun, record: StudyRecord, comparison: "Comparison", first: TrialRecord
) -> tuple[str, str]:
    from tuning.registry.registration import register
    from tuning.registry.versions import registered_name
    from tuning.report.model_card import model_card

    task = study_run.prepared.task
    assert isinstance(task, Serves)
    name = registered_name(study_run.study, record.data)
    with model_files(study_run, [first]) as files:
        version = RetryPolicy()(
            lambda: register(
                study_run.client,
                name=name,
                run_id=record.run_id,
                task=task,
                model_file=files[first.trial.name],
                tags=_version_tags(record, comparison, first),
                card=lambda served: model_card(record, comparison, name, served),
            )
        )
    return name, version


def _version_tags(
    record: StudyRecord, comparison: "Comparison", first: TrialRecord
) -> dict[str, str]:
    """Returns the tags of the version; the gate reads some of them."""
    from tuning.evaluation.error_analysis import behaviour_regression

    best, gain = comparison.best, comparison.gain
    assert best is not None and gain is not None
    metric = record.study.compare.deciding
    tags = {
        keys.VERDICT: comparison.verdict.value,
        keys.GAIN: metric.write_gain(gain.estimate),
        keys.test_metric_tag(metric.key): f"{rounded(best.mean_test)}",
        keys.INTERVAL: metric.write_interval(gain.low, gain.high),
        keys.GAIN_LOW: f"{rounded(gain.low)}",
        keys.METRIC: metric.name,
        keys.DIRECTION: metric.direction,
        keys.TRIALS: ",".join(best.trials),
        keys.DATASET: record.data.label,
        keys.DATASET_DIGEST: record.data.digest,
        keys.PARENT_RUN: record.run_id,
        keys.TRIAL: first.trial.name,
    }
    regression = behaviour_regression(record, comparison)
    if regression is not None:
        tags[keys.BEHAVIOURS] = f"{regression:.4f}"
    return tags


def _promote(study_run: StudyRun, record: StudyRecord, name: str, version: str) -> bool:
    from tuning.registry.promotion import promote

    study, say = study_run.study, study_run.progress.say
    try:
        promote(
            study_run.client,
            name,
            version,
            study.gate,
            by=f"tune {record.run_id}",
            confidence=study.compare.confidence,
        )
    except PromotionRefusedError as refusal:
        say(str(refusal))
        return False
    say(f"Promoted {name} version {version} to {keys.CHAMPION}")
    return True
