"""The phases of ``tune``, each over the same driver, and the record between them."""

import logging
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.driver import Arm
from tuning.errors import InterruptedStudyError, PromotionRefusedError, StudyFailedError
from tuning.plan import Plan
from tuning.protocols import Searcher
from tuning.reporting import (
    Outcome,
    make_interim_report,
    make_report,
    say_comparison,
    say_interim,
)
from tuning.search.factory import make_searcher
from tuning.search.fixed import FixedSearcher
from tuning.seeds import derive_seed
from tuning.session import Session, open_session
from tuning.study import Study
from tuning.tracking import names
from tuning.tracking.patience import Patience
from tuning.tracking.record import Predictions, StudyRecord, read_record, write_predictions
from tuning.tracking.resume import pending
from tuning.tracking.view import share_leaderboard
from tuning.trial import Phase, Proposal, TrialRecord, TrialState

if TYPE_CHECKING:
    from tuning.compare.comparison import Comparison


_log = logging.getLogger(__name__)


def tune(plan: Plan) -> Outcome:
    """Runs every phase: baseline, search, confirm, compare, report, register, promote.

    Raises:
        BadInputError: The data or the store cannot be had; nothing was started.
        StudyFailedError: No trial can succeed.
        InterruptedStudyError: The user stopped it.
    """
    with open_session(plan) as session:
        try:
            _search(session)
            _confirm(session)
        except InterruptedStudyError:
            if session.stop.level == 1:
                _report_so_far(session)
            raise
        session.executor.close()
        _evaluate(session)
        session.tracker.raise_error()
        record = read_record(session.client, session.parent.run_id)
        comparison = make_report(session.client, record)
        session.tracker.raise_error()
        registered, promoted = _register(session, record, comparison)
        share_leaderboard(session.client, session.parent.experiment_id, session.study)
    say_comparison(comparison, session.study)
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
        record = read_record(session.client, session.parent.run_id)
        say_interim(make_interim_report(session.client, record), session.study)
    except Exception as error:  # the user asked to stop, which is what this must end as
        _log.warning("no report of what there is: %s", error)


def train_baseline(plan: Plan) -> Outcome:
    """Trains the baseline alone, with its fresh seeds; the test split stays unread."""
    with open_session(plan, names.BASELINE) as session:
        study = session.study
        session.progress.phase("Baseline", study.confirm.seeds)
        records = session.driver.run([_baseline_arm(session)])
        session.tracker.flush()
        values = [r.result.value for r in records if r.result.value is not None]
        if values:
            session.client.log_metric(
                session.parent.run_id, f"baseline_{study.objective.metric}", _mean(values)
            )
        share_leaderboard(session.client, session.parent.experiment_id, study)
    return Outcome(session.parent.run_id, session.parent.experiment_id)


def _search(session: Session) -> None:
    study, plan = session.study, session.plan
    arms = [_baseline_arm(session)]
    for spec in plan.searchers:
        earlier = session.earlier(Phase.SEARCH, searcher=spec.name)
        searcher = make_searcher(spec, study)
        searcher.restore(earlier)
        arms.append(_arm(searcher, Phase.SEARCH, study, earlier, priority=1))
        arms[-1].budget = study.budget.trials
    expected = study.confirm.seeds + study.budget.trials * len(plan.searchers)
    named = ", ".join(spec.name for spec in plan.searchers)
    done = [
        record
        for record in session.earlier(Phase.BASELINE, Phase.SEARCH)
        if record.result.state is not TrialState.INTERRUPTED
    ]
    session.progress.phase(f"Baseline and search ({named})", expected, len(done))
    deadline = None
    if plan.options.timeout:
        deadline = time.monotonic() + plan.options.timeout
    session.driver.run(arms, deadline)
    session.tracker.flush()
    records = read_record(session.client, session.parent.run_id).trials
    _count(session, records)
    baseline = [r for r in records if r.trial.phase is Phase.BASELINE]
    if not any(map(_completed, baseline)):
        failures = [r.result.failure.message for r in baseline if r.result.failure]
        raise StudyFailedError(f"the baseline could not be trained: {failures[:1]}")


def _confirm(session: Session) -> None:
    study = session.study
    record = read_record(session.client, session.parent.run_id)
    candidates = choose_candidates(study, record.in_phase(Phase.SEARCH))
    references = [
        proposal
        for name, params in study.references.items()
        for proposal in _repeats(study, f"reference-{name}", name, params)
    ]
    repeats = [
        proposal
        for trial in candidates
        for proposal in _repeats(
            study,
            f"confirm-{trial.trial.name}",
            trial.trial.name,
            study.searched(trial.trial.params),
        )
    ]
    arms = [
        _fixed_arm(session, "reference", Phase.REFERENCE, references),
        # After the references, which may train long: the end should not wait for one of them.
        _fixed_arm(session, "confirm", Phase.CONFIRM, repeats, priority=1),
    ]
    session.progress.phase(
        f"Confirmation: {len(candidates)} candidates and {len(study.references)} references, "
        f"{study.confirm.seeds} fresh seeds each",
        len(references) + len(repeats),
        sum(map(_completed, session.earlier(Phase.REFERENCE, Phase.CONFIRM))),
    )
    session.driver.run(arms)
    session.tracker.flush()


def choose_candidates(study: Study, search: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The best distinct configurations of all searchers, without the baseline's own."""
    chosen: dict[str, TrialRecord] = {}
    ranked = sorted(
        (record for record in search if _completed(record) and record.result.value is not None),
        key=lambda record: study.objective.key(record.result.value or 0.0),
    )
    baseline = study.config_id(study.baseline)
    for record in ranked:
        config = study.config_id(record.trial.params)
        if config != baseline and len(chosen) < study.confirm.top_k:
            chosen.setdefault(config, record)
    return list(chosen.values())


def _evaluate(session: Session) -> None:
    from tuning.compare.evaluate import scores

    record = read_record(session.client, session.parent.run_id)
    trials = [trial for trial in record.in_phase(*names.CONFIRMED) if trial.model_id]
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
        predictions = predict_test(session.task, files)
    write_predictions(session.client, record.run_id, predictions)
    return predictions


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
    from tuning import registry
    from tuning.compare.comparison import points

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
        registry.INTERVAL: f"{points(gain.low)} to {points(gain.high)}",
        names.DATASET: record.data.label,
        names.DATASET_DIGEST: record.data.digest,
        registry.PARENT_RUN: record.run_id,
        registry.TRIAL: first.trial.name,
    }
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
            )
        )
    session.progress.say(f"\nRegistered {name} version {version} as {registry.CHALLENGER}")
    if session.plan.options.promote == "never":
        return f"{name}/{version}", False
    try:
        registry.promote(session.client, name, version, by=f"tune {record.run_id}")
    except PromotionRefusedError as refusal:
        session.progress.say(f"Not promoted: {refusal}")
        return f"{name}/{version}", False
    session.progress.say(f"Promoted {name} version {version} to {registry.CHAMPION}")
    return f"{name}/{version}", True


def _baseline_arm(session: Session) -> Arm:
    study = session.study
    proposals = _repeats(study, names.BASELINE, names.BASELINE, study.baseline)
    return _fixed_arm(session, names.BASELINE, Phase.BASELINE, proposals)


def _fixed_arm(
    session: Session, name: str, phase: Phase, proposals: list[Proposal], priority: int = 0
) -> Arm:
    earlier = session.earlier(phase)
    searcher = FixedSearcher(name, proposals)
    searcher.restore(earlier)
    return _arm(searcher, phase, session.study, earlier, priority)


def _arm(
    searcher: Searcher,
    phase: Phase,
    study: Study,
    earlier: Sequence[TrialRecord],
    priority: int = 0,
) -> Arm:
    return Arm(
        searcher,
        phase,
        study.budget.epochs,
        priority=priority,
        asked=max((record.trial.number + 1 for record in earlier), default=0),
        pending=pending(earlier),
    )


def _repeats(study: Study, prefix: str, candidate: str, params: Any) -> list[Proposal]:
    """The same configuration with every fresh seed, which all repeated configurations share."""
    return [
        Proposal(
            params=params,
            name=f"{prefix}-seed{number}",
            seed=derive_seed(study.seed, "confirm", number),
            tags={names.CANDIDATE: candidate},
        )
        for number in range(1, study.confirm.seeds + 1)
    ]


def _count(session: Session, records: Sequence[TrialRecord]) -> None:
    states = [r.result.state for r in records if r.trial.phase is Phase.SEARCH]
    for state in (TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED):
        session.client.log_metric(
            session.parent.run_id, f"trials_{state.value}", states.count(state)
        )


def _completed(record: TrialRecord) -> bool:
    return record.result.state is TrialState.COMPLETED


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
