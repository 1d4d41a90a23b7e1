"""What each phase of a study trains, and what an earlier run has left of it."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from tuning.arm import Arm
from tuning.budget import busy_seconds, longest_first, seconds_to_confirm
from tuning.errors import StudyFailedError
from tuning.protocols import Searcher
from tuning.search.deferred import DeferredSearcher
from tuning.search.factory import make_searcher
from tuning.search.fixed import FixedSearcher
from tuning.search.spec import SearcherSpec
from tuning.seeds import derive_seed
from tuning.session import Session
from tuning.stopping import SearchLimit
from tuning.study import Config, Study
from tuning.tracking import names
from tuning.tracking.resume import pending
from tuning.trial import Phase, Proposal, TrialRecord


def study_arms(session: Session, limit: SearchLimit) -> list[Arm]:
    """The arms of a whole study, in the order in which free workers are given to them.

    Baseline, search, references; the confirmation follows the search. References do not depend on
    the search and may train long, so they fill the workers that its last trials leave free.
    """
    study = session.study
    baseline = baseline_arm(session)
    search = [_search_arm(session, spec) for spec in session.plan.searchers]
    references = _fixed_arm(
        session, FixedSearcher("reference", _references(study)), Phase.REFERENCE, priority=2
    )
    confirmation = _fixed_arm(
        session,
        FixedSearcher("confirm", lambda: _confirmation(session, limit)),
        Phase.CONFIRM,
        priority=3,
        after=[baseline, *search],
    )
    arms = [baseline, *search, references, confirmation]
    if study.confirm.long_run is not None:
        searcher = FixedSearcher("long_run", _long_runs(study, study.confirm.long_run))
        arms.append(_fixed_arm(session, searcher, Phase.LONG_RUN, priority=4))
    if study.confirm.ablation:
        searcher = FixedSearcher("ablation", lambda: _ablation(session))
        after = [confirmation]
        arms.append(_fixed_arm(session, searcher, Phase.ABLATION, priority=3, after=after))
    return arms


def baseline_arm(session: Session) -> Arm:
    """The baseline with each of its fresh seeds."""
    study = session.study
    proposals = _repeats(study, names.BASELINE, names.BASELINE, study.baseline)
    return _fixed_arm(session, FixedSearcher(names.BASELINE, proposals), Phase.BASELINE)


def search_limit(session: Session) -> SearchLimit:
    """What ends the search before its trials are spent, going on from earlier runs."""
    budget, earlier = session.study.budget, session.earlier(*Phase)
    deadline = None
    if budget.timeout is not None:
        end = time.monotonic() + budget.timeout - busy_seconds(earlier)

        @lru_cache(maxsize=1)
        def kept_back(ended_trials: int) -> float:
            ended = session.trained(*Phase)
            candidates = choose_candidates(session.study, _of_search(ended))
            return seconds_to_confirm(session.study, ended, candidates, session.workers)

        def deadline() -> float:
            return end - kept_back(len(session.driver.records))

    limit = SearchLimit(
        session.study.objective,
        deadline=deadline,
        plateau_trials=budget.plateau_trials,
        plateau_gain=budget.plateau_gain,
    )
    for record in sorted(earlier, key=lambda record: record.ended_ms):
        if record.trial.phase is Phase.SEARCH:
            limit.learn(record.result)
    begun = session.record
    if begun and begun.in_phase(Phase.CONFIRM) and begun.study.budget == budget:
        # More search would confirm other candidates than those that are half confirmed.
        limit.end("the confirmation had begun")
    return limit


def choose_candidates(study: Study, search: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The best distinct configurations of all searchers, without the baseline's own.

    Equals are ranked by searcher and number and not by the order of their ends, so a resumed study
    chooses as the one that was stopped.
    """
    chosen: dict[str, TrialRecord] = {}
    for record in sorted(
        (r for r in search if r.completed), key=lambda record: _rank(study, record)
    ):
        config = study.config_id(record.trial.params)
        if config != study.config_id(study.baseline) and len(chosen) < study.confirm.top_k:
            chosen.setdefault(config, record)
    return list(chosen.values())


def _of_search(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [record for record in records if record.trial.phase is Phase.SEARCH]


def _rank(study: Study, record: TrialRecord) -> tuple[float, str, int]:
    # MLflow has the value with six digits, and a resumed study reads it there.
    value = round(record.result.value or 0.0, 6)
    return study.objective.key(value), record.trial.searcher, record.trial.number


def _search_arm(session: Session, spec: SearcherSpec) -> Arm:
    study = session.study
    earlier = session.earlier(Phase.SEARCH, searcher=spec.name)
    searcher = DeferredSearcher(spec.name, partial(make_searcher, spec, study))
    searcher.restore(earlier)
    if earlier:
        # It may refuse them, which is to be known before any work starts.
        searcher.prepare()
    arm = _arm(searcher, Phase.SEARCH, study, earlier, priority=1)
    arm.budget = study.budget.trials
    arm.prepare = searcher.prepare
    return arm


def _fixed_arm(
    session: Session,
    searcher: FixedSearcher,
    phase: Phase,
    priority: int = 0,
    after: Sequence[Arm] = (),
) -> Arm:
    earlier = session.earlier(phase)
    searcher.restore(earlier)
    return _arm(searcher, phase, session.study, earlier, priority, after)


def _arm(
    searcher: Searcher,
    phase: Phase,
    study: Study,
    earlier: Sequence[TrialRecord],
    priority: int = 0,
    after: Sequence[Arm] = (),
) -> Arm:
    return Arm(
        searcher,
        phase,
        study.budget.epochs,
        priority=priority,
        after=after,
        asked=max((record.trial.number + 1 for record in earlier), default=0),
        pending=pending(earlier),
    )


def _references(study: Study) -> list[Proposal]:
    return [
        proposal
        for name, params in study.references.items()
        for proposal in _repeats(study, f"reference-{name}", name, params)
    ]


def _confirmation(session: Session, limit: SearchLimit) -> list[Proposal]:
    """The best of the search with fresh seeds.

    Raises:
        StudyFailedError: There is no baseline to compare them with.
    """
    study = session.study
    ended = session.trained(Phase.BASELINE, Phase.SEARCH)
    baseline = [record for record in ended if record.trial.phase is Phase.BASELINE]
    if not any(record.completed for record in baseline):
        failures = [r.result.failure.message for r in baseline if r.result.failure]
        raise StudyFailedError(f"the baseline could not be trained: {failures[:1]}")
    search = _of_search(ended)
    candidates = choose_candidates(study, search)
    session.progress.board.spare(
        study.budget.trials * len(session.plan.searchers)
        - len(search)
        + study.confirm.seeds * (study.confirm.top_k - len(candidates))
    )
    if ended_by := limit.over():
        session.progress.say(f"\nThe search has ended: {ended_by}")
    models = "candidate" if len(candidates) == 1 else "candidates"
    seeds = "seed" if study.confirm.seeds == 1 else "seeds each"
    session.progress.say(
        f"\nConfirmation: {len(candidates)} {models}, {study.confirm.seeds} fresh {seeds}"
    )
    return [
        proposal
        for record in longest_first(study, ended, candidates)
        for proposal in _repeats(
            study,
            f"confirm-{record.trial.name}",
            record.trial.name,
            study.searched(record.trial.params),
        )
    ]


def _long_runs(study: Study, epochs: int) -> list[Proposal]:
    """Baseline and references again, with the same seeds, for more epochs."""
    configs = {names.BASELINE: study.baseline, **study.references}
    return [
        replace(proposal, epochs=epochs)
        for name, params in configs.items()
        for proposal in _repeats(study, f"long-{name}", name, params)
    ]


def _ablation(session: Session) -> list[Proposal]:
    """The winner with each changed hyperparameter set back to the baseline's value."""
    study = session.study
    best = choose_best(study, session.trained(Phase.CONFIRM))
    if best is None:
        return []
    session.progress.say("\nAblation: one change at a time set back")
    proposals = [
        proposal
        for name, params in set_back(study, best).items()
        for proposal in _repeats(study, f"without-{name}", name, params)
    ]
    # How many changes there are was not known when the trials were counted.
    session.progress.board.expect(len(proposals))
    return proposals


def choose_best(study: Study, confirmed: Sequence[TrialRecord]) -> Config | None:
    """The configuration with the best mean over all seeds; None if none has all of them."""
    values: dict[str, list[float]] = {}
    params: dict[str, Config] = {}
    for record in filter(lambda record: record.completed, confirmed):
        label = record.trial.tags[names.CANDIDATE]
        values.setdefault(label, []).append(record.result.value or 0.0)
        params[label] = study.searched(record.trial.params)
    best = study.winner(values)
    return None if best is None else params[best]


def set_back(study: Study, best: Config) -> dict[str, Config]:
    """The configuration with each changed hyperparameter set back, by its name.

    What then exists for the first time takes the baseline's value, and what no longer exists is
    left out; where there is no such value, the hyperparameter is left out altogether.
    """
    found: dict[str, Config] = {}
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
            found[changed] = study.space.canonical(config)
        except ValueError:
            continue
    return found


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
