"""The commands ``tune`` and ``baseline``: the phases of a study in their order."""

import logging
from statistics import fmean

from tuning.core.errors import InterruptedStudyError
from tuning.core.trial import Phase
from tuning.driver.search_limit import SearchLimit
from tuning.evaluation.spending import spending
from tuning.tracking import keys
from tuning.tracking.leaderboard import share_leaderboard
from tuning.workflow.judge import judge_models
from tuning.workflow.plan import Plan
from tuning.workflow.register import register_best
from tuning.workflow.sources import baseline_source, search_limit, search_sources, study_sources
from tuning.workflow.study_run import StudyRun, open_study_run
from tuning.workflow.summary import (
    Outcome,
    describe,
    describe_interim,
    make_interim_report,
    make_report,
)

_log = logging.getLogger(__name__)


def tune(plan: Plan) -> Outcome:
    """Runs a whole study: baseline, search, confirm, compare, report, register, promote.

    Raises:
        BadInputError: The data or the store cannot be used; then nothing was started. Or a model
            cannot be judged, or a searcher cannot be made, perhaps after the first trials.
        StudyFailedError: No trial can succeed.
        InterruptedStudyError: The user stopped the study.
    """
    with open_study_run(plan) as study_run:
        try:
            _train(study_run)
        except InterruptedStudyError:
            if study_run.stop.level == 1:
                _report_so_far(study_run)
            raise
        study_run.executor.close()
        judge_models(study_run)
        study_run.tracker.raise_error()
        record = study_run.read()
        study_run.progress.say("Writing the report …")
        comparison = make_report(study_run.client, record)
        study_run.tracker.raise_error()
        registered, promoted = register_best(study_run, record, comparison)
        share_leaderboard(study_run.client, study_run.parent.experiment_id, study_run.study)
    study_run.progress.conclude(describe(comparison, study_run.study))
    return Outcome(
        study_run.parent.run_id,
        study_run.parent.experiment_id,
        comparison.verdict.value,
        registered,
        promoted,
    )


def train_baseline(plan: Plan) -> Outcome:
    """Trains only the baseline, with every fresh seed. The test split is not read."""
    with open_study_run(plan, keys.BASELINE) as study_run:
        study, parent = study_run.study, study_run.parent
        study_run.progress.phase("Baseline", study.confirm.seeds)
        records = study_run.driver.run([baseline_source(study_run)])
        study_run.progress.close()
        study_run.tracker.flush()
        values = [r.result.value for r in records if r.result.value is not None]
        if values:
            study_run.client.log_metric(
                parent.run_id, keys.baseline_metric(study.objective.metric), fmean(values)
            )
        share_leaderboard(study_run.client, parent.experiment_id, study)
    return Outcome(parent.run_id, parent.experiment_id)


def search(plan: Plan) -> Outcome:
    """Runs the search alone. Neither the baseline is repeated, nor is the test split read."""
    with open_study_run(plan, keys.SEARCH) as study_run:
        study, parent = study_run.study, study_run.parent
        searchers = ", ".join(spec.name for spec in study_run.searchers)
        expected = study.search_trials * len(study_run.searchers)
        done = len(study_run.driver.trained(Phase.SEARCH))
        study_run.progress.phase(f"Search ({searchers})", expected, done)
        limit = search_limit(study_run)
        study_run.driver.run(search_sources(study_run), limit)
        study_run.progress.close()
        study_run.tracker.flush()
        study_run.client.set_tag(
            parent.run_id, keys.SEARCH_END, limit.over() or "all trials are done"
        )
        share_leaderboard(study_run.client, parent.experiment_id, study)
    return Outcome(parent.run_id, parent.experiment_id)


def _train(study_run: StudyRun) -> None:
    """Trains the trials of all phases in one pool of workers."""
    driver, run_id = study_run.driver, study_run.parent.run_id
    given = study_run.prepared.plan.options.candidates
    searchers = ", ".join(spec.name for spec in study_run.searchers)
    study_run.progress.phase(
        "Baseline and candidates" if given else f"Baseline and search ({searchers})",
        _expected_trials(study_run),
        len(driver.trained(*Phase)),
    )
    limit = search_limit(study_run)
    driver.run(study_sources(study_run, limit), limit)
    study_run.progress.close()
    study_run.tracker.flush()
    for key, value in spending(driver.trained(*Phase)).items():
        study_run.client.log_metric(run_id, key, value)
    study_run.client.set_tag(run_id, keys.SEARCH_END, _end_of_search(study_run, limit))


def _expected_trials(study_run: StudyRun) -> int:
    """Returns the number of trials of the study, as far as it is known at the start."""
    study = study_run.study
    given = study_run.prepared.plan.options.candidates
    if given:
        return study.confirm.seeds * (1 + len(study.references) + len(given))
    configurations = 1 + len(study.references)
    rounds = 1 if study.confirm.long_run is None else 2
    fresh = study.confirm.seeds * (configurations * rounds + study.confirm.top_k)
    return fresh + study.search_trials * len(study_run.searchers)


def _end_of_search(study_run: StudyRun, limit: SearchLimit) -> str:
    if study_run.prepared.plan.options.candidates:
        return "the candidates were given"
    trials = study_run.study.search_trials * len(study_run.searchers)
    if len(study_run.driver.trained(Phase.SEARCH)) >= trials:
        return "all trials are done"
    return limit.over() or "the searchers have no more configurations to propose"


def _report_so_far(study_run: StudyRun) -> None:
    try:
        study_run.tracker.flush()
        interim = make_interim_report(study_run.client, study_run.read())
        study_run.progress.conclude(describe_interim(interim, study_run.study))
    except Exception as error:  # the command still has to end as stopped by the user
        _log.warning("the interim report could not be written: %s", error)
