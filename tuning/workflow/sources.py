"""The trial sources of a study: one or more per phase, restored from an earlier run."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean

from tuning.core.errors import StudyFailedError
from tuning.core.interfaces import Searcher
from tuning.core.seeds import derive_seed
from tuning.core.trial import Params, Phase, Proposal, TrialRecord
from tuning.driver.search_limit import SearchLimit
from tuning.driver.source import TrialSource
from tuning.evaluation.spending import busy_seconds, longest_first, seconds_to_confirm
from tuning.search.deferred_searcher import DeferredSearcher
from tuning.search.factory import make_repeated, make_searcher
from tuning.search.fixed_searcher import FixedSearcher
from tuning.search.names import SearcherSpec
from tuning.study.file import Study
from tuning.study.sections import Config
from tuning.tracking import keys
from tuning.workflow.cuts import cut_tag, fold_tag
from tuning.workflow.resume import pending
from tuning.workflow.study_run import StudyRun
from tuning.workflow.warm_start import warm_trials

# Makes the proposals of a source from the trials that have ended before the source begins.
_Propose = Callable[[Sequence[TrialRecord]], Sequence[Proposal]]


def study_sources(study_run: StudyRun, limit: SearchLimit) -> list[TrialSource]:
    """Returns the sources of a study; a free worker serves the source of the lowest ``priority``.

    The confirmation begins after the search. The references do not depend on the search and may
    take long, so they use the workers that become free while the last search trials are trained.
    """
    study = study_run.study
    baseline = baseline_source(study_run)
    given = study_run.prepared.plan.options.candidates
    search = [] if given else search_sources(study_run)
    proposals = _repeats(study, study.references, "reference-")
    references = _fixed_source(study_run, "reference", Phase.REFERENCE, proposals, priority=2)
    confirmation = _dependent_source(
        study_run,
        "confirm",
        Phase.CONFIRM,
        lambda ended: _confirmation(study_run, limit, ended),
        after=[baseline, *search],
    )
    sources = [baseline, *search, references, confirmation]
    if study.confirm.long_run is not None:
        # The baseline and the references have the same fresh seeds as before, and more epochs.
        configs = {keys.BASELINE: study.baseline, **study.references}
        proposals = _repeats(study, configs, "long-", study.confirm.long_run)
        sources.append(_fixed_source(study_run, "long_run", Phase.LONG_RUN, proposals, priority=4))
    if study.confirm.ablation:
        sources.append(
            _dependent_source(
                study_run,
                "ablation",
                Phase.ABLATION,
                lambda ended: _ablation(study_run, ended),
                after=[confirmation],
            )
        )
    return sources


def search_sources(study_run: StudyRun) -> list[TrialSource]:
    """Returns a source per searcher."""
    return [_search_source(study_run, spec) for spec in study_run.searchers]


def baseline_source(study_run: StudyRun) -> TrialSource:
    """Returns the source of the baseline with every fresh seed."""
    study = study_run.study
    proposals = _repeats(study, {keys.BASELINE: study.baseline})
    return _fixed_source(study_run, keys.BASELINE, Phase.BASELINE, proposals, priority=0)


def search_limit(study_run: StudyRun) -> SearchLimit:
    """Returns the rules that may end the search early; earlier runs of the study count."""
    study, earlier = study_run.study, study_run.earlier(*Phase)
    budget = study.budget
    deadline = None
    if budget.timeout is not None:
        deadline = time.monotonic() + budget.timeout - busy_seconds(earlier)
    limit = SearchLimit(
        study.objective,
        deadline=deadline,
        reserve=partial(_seconds_after_search, study, study_run.workers),
        plateau_trials=budget.plateau_trials,
        plateau_gain=budget.plateau_gain,
    )
    for record in sorted(earlier, key=lambda record: record.ended_ms):
        limit.learn(record)
    begun = study_run.prepared.record
    if begun and begun.in_phase(Phase.CONFIRM) and begun.study.budget == budget:
        # More search trials could replace candidates whose confirmation has already begun.
        limit.end("the confirmation has already begun in an earlier run")
    return limit


def _seconds_after_search(study: Study, workers: int, ended: Sequence[TrialRecord]) -> float:
    candidates = choose_candidates(study, _in_phase(ended, Phase.SEARCH))
    return seconds_to_confirm(study, ended, candidates, workers)


def choose_candidates(study: Study, search: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Returns the best distinct configurations of all searchers, without the baseline's.

    Trials of equal value are ranked by searcher and number, not by the order in which they ended,
    so that a resumed study chooses the same candidates as an uninterrupted one.
    """
    chosen: dict[str, TrialRecord] = {}
    completed = _averaged(study, [record for record in search if record.completed])
    for record in sorted(completed, key=lambda record: _rank(study, record)):
        config = study.config_id(record.trial.params)
        if config != study.config_id(study.baseline) and len(chosen) < study.confirm.top_k:
            chosen.setdefault(config, record)
    return list(chosen.values())


def _averaged(study: Study, completed: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Returns one record per configuration and searcher, with the mean of its repeats."""
    if study.repeats == 1:
        return list(completed)
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for record in completed:
        key = record.trial.searcher, study.config_id(record.trial.params)
        groups.setdefault(key, []).append(record)
    return [
        replace(each[0], result=replace(each[0].result, value=fmean(_values(each))))
        for each in groups.values()
        if len(each) >= study.repeats
    ]


def _values(records: Sequence[TrialRecord]) -> list[float]:
    return [record.result.value for record in records if record.result.value is not None]


def _in_phase(records: Sequence[TrialRecord], phase: Phase) -> list[TrialRecord]:
    return [record for record in records if record.trial.phase is phase]


def _rank(study: Study, record: TrialRecord) -> tuple[float, str, int]:
    # MLflow stores the value with six digits, and a resumed study reads this rounded value.
    value = round(record.result.value or 0.0, 6)
    return study.objective.key(value), record.trial.searcher, record.trial.number


# Sources


def _search_source(study_run: StudyRun, spec: SearcherSpec) -> TrialSource:
    study = study_run.study
    earlier = study_run.earlier(Phase.SEARCH, searcher=spec.name)
    own = study_run.prepared.plan.options.own_searchers
    tags = partial(fold_tag, study, with_times=study_run.prepared.has_times)
    searcher = DeferredSearcher(
        spec.name,
        partial(make_repeated, study.repeats, partial(make_searcher, spec, study, own), tags),
    )
    source = _source(study_run, searcher, Phase.SEARCH, earlier, priority=1)
    if study.warm_start:
        searcher.restore([*warm_trials(study_run.client, study), *earlier])
    if earlier or study.warm_start:
        # The searcher may reject the earlier trials; that must show before any work starts.
        searcher.prepare()
    # A kill, or a deletion in MLflow, may have left gaps in the numbers; they are made up for.
    source.budget = study.search_trials + source.asked - len(earlier)
    source.prepare = searcher.prepare
    return source


def _fixed_source(
    study_run: StudyRun, name: str, phase: Phase, proposals: Sequence[Proposal], priority: int
) -> TrialSource:
    """Returns a source whose proposals are known from the beginning."""
    searcher = FixedSearcher(name, proposals)
    return _source(study_run, searcher, phase, study_run.earlier(phase), priority)


def _dependent_source(
    study_run: StudyRun, name: str, phase: Phase, propose: _Propose, after: Sequence[TrialSource]
) -> TrialSource:
    """Returns a source whose proposals depend on the trials of other sources."""
    searcher = FixedSearcher(name)
    source = _source(study_run, searcher, phase, study_run.earlier(phase), priority=3)

    def begin(ended: Sequence[TrialRecord]) -> None:
        # First the record: if this process is killed, the next one must see the results that the
        # proposals rest on, or it would go on with them and without the trials.
        study_run.tracker.flush()
        searcher.propose(propose(ended))

    source.after, source.on_begin = after, begin
    return source


def _source(
    study_run: StudyRun,
    searcher: Searcher,
    phase: Phase,
    earlier: Sequence[TrialRecord],
    priority: int,
) -> TrialSource:
    searcher.restore(earlier)
    return TrialSource(
        searcher,
        phase,
        study_run.study.budget.epochs,
        priority=priority,
        asked=max((record.trial.number + 1 for record in earlier), default=0),
        pending=pending(earlier),
    )


# Proposals


def _confirmation(
    study_run: StudyRun, limit: SearchLimit, ended: Sequence[TrialRecord]
) -> list[Proposal]:
    """Returns the best configurations of the search, or those given, with every fresh seed.

    Raises:
        StudyFailedError: No trial of the baseline was completed, so that there is no comparison.
    """
    study = study_run.study
    _check_baseline(ended)
    given = study_run.prepared.plan.options.candidates
    if given:
        return _repeats(study, given, "confirm-")
    search = _in_phase(ended, Phase.SEARCH)
    candidates = choose_candidates(study, search)
    _announce_confirmation(study_run, limit, len(search), len(candidates))
    ended = [r for r in ended if r.trial.phase in (Phase.BASELINE, Phase.SEARCH)]
    trials = [record.trial for record in longest_first(study, ended, candidates)]
    configs = {trial.name: study.searched(trial.params) for trial in trials}
    return _repeats(study, configs, "confirm-")


def _check_baseline(ended: Sequence[TrialRecord]) -> None:
    baseline = _in_phase(ended, Phase.BASELINE)
    if not any(record.completed for record in baseline):
        failures = [r.result.failure.message for r in baseline if r.result.failure]
        raise StudyFailedError(
            "the baseline could not be trained with any seed; correct the study file or the task. "
            f"First failure: {next(iter(failures), 'unknown')}"
        )


def _announce_confirmation(
    study_run: StudyRun, limit: SearchLimit, trials: int, candidates: int
) -> None:
    study, progress = study_run.study, study_run.progress
    progress.status.expect(
        trials
        - study.search_trials * len(study_run.searchers)
        + study.confirm.seeds * (candidates - study.confirm.top_k)
    )
    if ended_by := limit.over():
        progress.say(f"\nThe search has ended: {ended_by}")
    noun = "candidate" if candidates == 1 else "candidates"
    seeds = "seed" if study.confirm.seeds == 1 else "seeds each"
    progress.say(f"\nConfirmation: {candidates} {noun}, {study.confirm.seeds} fresh {seeds}")


def _ablation(study_run: StudyRun, ended: Sequence[TrialRecord]) -> list[Proposal]:
    """Returns the winner with each changed hyperparameter set back to the baseline's value."""
    study = study_run.study
    best = choose_best(study, _in_phase(ended, Phase.CONFIRM))
    if best is None:
        return []
    study_run.progress.say(
        "\nAblation: the winner with one changed hyperparameter set back at a time"
    )
    proposals = _repeats(study, set_back(study, best), "without-")
    # The number of changes was unknown when the expected trials were counted.
    study_run.progress.status.expect(len(proposals))
    return proposals


def choose_best(study: Study, confirmed: Sequence[TrialRecord]) -> Config | None:
    """Returns the configuration with the best mean over all seeds; None if none has every seed."""
    values: dict[str, list[float]] = {}
    params: dict[str, Config] = {}
    for record in filter(lambda record: record.completed, confirmed):
        label = record.trial.tags[keys.CANDIDATE]
        values.setdefault(label, []).append(record.result.value or 0.0)
        params[label] = study.searched(record.trial.params)
    best = study.winner(values)
    return None if best is None else params[best]


def set_back(study: Study, best: Config) -> dict[str, Config]:
    """Returns one configuration per changed hyperparameter, with this hyperparameter set back.

    Setting one back may activate or deactivate others. A hyperparameter that becomes active takes
    the baseline's value, and one that becomes inactive is left out. If a value is missing, there
    is no configuration for the changed hyperparameter.
    """
    configs: dict[str, Config] = {}
    for changed, value in best.items():
        if changed not in study.baseline or study.baseline[changed] == value:
            continue
        config: Config = {}
        for name in study.space.names:
            if study.space.is_active(name, config):
                source = study.baseline if name == changed or name not in best else best
                if name in source:
                    config[name] = source[name]
        try:
            configs[changed] = study.space.canonical(config)
        except ValueError:
            continue
    return configs


def _repeats(
    study: Study, configs: Mapping[str, Params], prefix: str = "", epochs: int | None = None
) -> list[Proposal]:
    """Returns one proposal per configuration and fresh seed; all configurations share the seeds.

    Args:
        study: Study with the settings of the confirmation.
        configs: Configurations by label.
        prefix: First part of the trials' names, before the label.
        epochs: Total number of epochs; None for the study's number.
    """
    return [
        Proposal(
            params=params,
            epochs=epochs,
            name=f"{prefix}{label}-seed{number}",
            seed=derive_seed(study.seed, "confirm", number),
            tags={keys.CANDIDATE: label, **cut_tag(study, number)},
        )
        for label, params in configs.items()
        for number in range(1, study.confirm.seeds + 1)
    ]
