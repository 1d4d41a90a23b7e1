"""The phases of ``tune``, each over the same driver, and the record between them."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.arms import baseline_arm, search_limit, study_arms
from tuning.budget import spending
from tuning.errors import InterruptedStudyError, PromotionRefusedError
from tuning.plan import Plan
from tuning.reporting import (
    Outcome,
    describe,
    describe_interim,
    make_interim_report,
    make_report,
)
from tuning.session import Session, open_session
from tuning.stopping import SearchLimit
from tuning.tracking import names
from tuning.tracking.patience import Patience
from tuning.tracking.record import Predictions, StudyRecord, write_predictions
from tuning.tracking.view import share_leaderboard
from tuning.trial import Phase, TrialRecord

if TYPE_CHECKING:
    from tuning.compare.comparison import Comparison


_log = logging.getLogger(__name__)


def tune(plan: Plan) -> Outcome:
    """Runs every phase: baseline, search, confirm, compare, report, register, promote.

    Raises:
        BadInputError: The data or the store cannot be had, and nothing was started; or a searcher
            cannot be made after all.
        StudyFailedError: No trial can succeed.
        InterruptedStudyError: The user stopped it.
    """
    with open_session(plan) as session:
        try:
            _train(session)
        except InterruptedStudyError:
            if session.stop.level == 1:
                _report_so_far(session)
            raise
        session.executor.close()
        _evaluate(session)
        session.tracker.raise_error()
        record = session.read()
        comparison = make_report(session.client, record)
        session.tracker.raise_error()
        registered, promoted = _register(session, record, comparison)
        share_leaderboard(session.client, session.parent.experiment_id, session.study)
    session.progress.conclude(describe(comparison, session.study))
    return Outcome(
        session.parent.run_id,
        session.parent.experiment_id,
        comparison.verdict.value,
        registered,
        promoted,
    )


def _report_so_far(session: Session) -> None:
    try:
        session.tracker.flush()
        record = session.read()
        interim = make_interim_report(session.client, record)
        session.progress.conclude(describe_interim(interim, session.study))
    except Exception as error:  # the user asked to stop, which is what this must end as
        _log.warning("no report of what there is: %s", error)


def train_baseline(plan: Plan) -> Outcome:
    """Trains the baseline alone, with its fresh seeds; the test split stays unread."""
    with open_session(plan, names.BASELINE) as session:
        study = session.study
        session.progress.phase("Baseline", study.confirm.seeds)
        records = session.driver.run([baseline_arm(session)])
        session.progress.close()
        session.tracker.flush()
        values = [r.result.value for r in records if r.result.value is not None]
        if values:
            session.client.log_metric(
                session.parent.run_id, f"baseline_{study.objective.metric}", _mean(values)
            )
        share_leaderboard(session.client, session.parent.experiment_id, study)
    return Outcome(session.parent.run_id, session.parent.experiment_id)


def _train(session: Session) -> None:
    """Baseline, search, references and confirmation, in one pool of workers."""
    study, searchers = session.study, session.plan.searchers
    confirm = study.confirm
    configs = 1 + len(study.references)
    fresh = confirm.seeds * (configs * (1 + (confirm.long_run is not None)) + confirm.top_k)
    named = ", ".join(spec.name for spec in searchers)
    session.progress.phase(
        f"Baseline and search ({named})",
        fresh + study.budget.trials * len(searchers),
        len(session.trained(*Phase)),
    )
    limit = search_limit(session)
    session.driver.run(study_arms(session, limit), limit)
    session.progress.close()
    session.tracker.flush()
    for key, value in spending(session.trained(*Phase)).items():
        session.client.log_metric(session.parent.run_id, key, value)
    session.client.set_tag(session.parent.run_id, names.SEARCH_END, _search_end(session, limit))


def _search_end(session: Session, limit: SearchLimit) -> str:
    trials = session.study.budget.trials * len(session.plan.searchers)
    if len(session.trained(Phase.SEARCH)) >= trials:
        return "all trials are done"
    return limit.over() or "nothing is left to propose"


def _evaluate(session: Session) -> None:
    from tuning.compare.evaluate import scores

    record = session.read()
    trials = [trial for trial in record.in_phase(*names.TESTED) if trial.model_id]
    predictions = record.predictions
    if predictions is None or any(t.trial.name not in predictions.probabilities for t in trials):
        predictions = _predict(session, record, trials)
    # Also after a kill between predictions and scores: to log them again changes nothing.
    for trial in trials:
        measured = scores(predictions.labels, predictions.probabilities[trial.trial.name])
        for key, value in measured.items():
            session.client.log_metric(
                trial.run_id,
                key,
                round(value, 6),
                step=trial.result.best_step or 0,
                model_id=trial.model_id,
            )


def _predict(session: Session, record: StudyRecord, trials: Sequence[TrialRecord]) -> Predictions:
    from tuning.compare.evaluate import predict_test

    session.progress.say(f"\nTest split: {len(trials)} models, read once")
    with tempfile.TemporaryDirectory() as folder:
        files = {t.trial.name: fetch_keras_file(t.model_id, folder) for t in trials}
        predictions = predict_test(session.task, files, *_compared(trials))
    write_predictions(session.client, record.run_id, predictions)
    return predictions


def _compared(trials: Sequence[TrialRecord]) -> tuple[str | None, list[str]]:
    """The baseline's model of the first seed, and that of every other configuration."""
    first: dict[str, str] = {}
    for trial in sorted(trials, key=lambda trial: trial.trial.number):
        first.setdefault(trial.trial.tags.get(names.CANDIDATE, names.BASELINE), trial.trial.name)
    return first.pop(names.BASELINE, None), list(first.values())


def fetch_keras_file(model_id: str, folder: str) -> Path:
    """The ``.keras`` file of a logged model, downloaded if the store is remote.

    Waits out an outage of the store.
    """
    from mlflow.artifacts import download_artifacts

    target = Path(folder, model_id)
    target.mkdir()
    found = Patience()(
        lambda: download_artifacts(artifact_uri=f"models:/{model_id}", dst_path=str(target))
    )
    return Path(found, "data", "model.keras")


def _register(session: Session, record: StudyRecord, comparison: "Comparison") -> tuple[str, bool]:
    from tuning import promotion, registry
    from tuning.compare.card import model_card
    from tuning.compare.errors import behaviour_regression
    from tuning.compare.stats import points

    best, gain = comparison.best, comparison.gain
    if best is None or gain is None:
        return "", False
    if record.data.cannot_serve:
        session.progress.say(f"\nNothing is registered: {record.data.cannot_serve}")
        return "", False
    first = next(trial for trial in record.trials if trial.trial.name == best.trials[0])
    name = registry.registered_name(session.study, record.data)
    tags = {
        names.VERDICT: comparison.verdict.value,
        registry.GAIN: points(gain.estimate),
        registry.TEST_ACCURACY: f"{best.mean_test:.6f}",
        registry.INTERVAL: gain.interval,
        registry.GAIN_LOW: f"{gain.low:.6f}",
        registry.METRIC: session.study.compare.metric,
        registry.TRIALS: ",".join(best.trials),
        names.DATASET: record.data.label,
        names.DATASET_DIGEST: record.data.digest,
        registry.PARENT_RUN: record.run_id,
        registry.TRIAL: first.trial.name,
    }
    regression = behaviour_regression(record, comparison)
    if regression is not None:
        tags[registry.BEHAVIOURS] = f"{regression:.4f}"
    with tempfile.TemporaryDirectory() as folder:
        model_file = fetch_keras_file(first.model_id, folder)
        version = Patience()(
            lambda: registry.register(
                session.client,
                name=name,
                run_id=record.run_id,
                task=session.task,
                model_file=model_file,
                tags=tags,
                card=lambda served: model_card(record, comparison, name, served),
            )
        )
    session.progress.say(f"\nRegistered {name} version {version} as {registry.CHALLENGER}")
    if session.plan.options.promote == "never":
        return f"{name}/{version}", False
    try:
        promotion.promote(
            session.client,
            name,
            version,
            session.study.gate,
            by=f"tune {record.run_id}",
            confidence=session.study.compare.confidence,
        )
    except PromotionRefusedError as refusal:
        session.progress.say(f"Not promoted: {refusal}")
        return f"{name}/{version}", False
    session.progress.say(f"Promoted {name} version {version} to {registry.CHAMPION}")
    return f"{name}/{version}", True


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
