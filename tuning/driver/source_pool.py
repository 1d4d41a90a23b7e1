"""Selects the source that is served next, and makes trials from its proposals."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from tuning.core.interfaces import NoProposal
from tuning.core.seeds import derive_seed
from tuning.core.trial import Params, Proposal, Trial, TrialRecord, trial_name
from tuning.driver.search_limit import SearchLimit
from tuning.driver.source import TrialSource


class SourcePool:
    """The sources of one run of the driver.

    Args:
        sources: Sources of trials.
        limit: Rule that ends the search before its budget is spent; None for no such rule.
        study_seed: Seed of the study, from which the seeds of the trials are derived.
        fixed: Hyperparameters that have the same value in every trial.
    """

    def __init__(
        self,
        sources: Sequence[TrialSource],
        limit: SearchLimit | None,
        study_seed: int,
        fixed: Params,
    ) -> None:
        self._sources = sources
        self._limit = limit
        self._study_seed = study_seed
        self._fixed = fixed

    def next_source(
        self, busy: Collection[TrialSource], ended: Callable[[], Sequence[TrialRecord]]
    ) -> TrialSource | None:
        """Returns the source to serve next; None if no source can be served now.

        Args:
            busy: Sources with trials that have started and not yet ended.
            ended: Function that returns all trials that have ended, for sources that depend on
                others.
        """
        over = self._search_is_over()
        ready = [
            source
            for source in self._sources
            if source.has_work(over) and not _waits_for_others(source, busy, over)
        ]
        for source in ready:
            if source.on_begin is not None:
                begin, source.on_begin = source.on_begin, None
                begin(ended())
        return min(ready, key=_service_order, default=None)

    def next_trial(self, source: TrialSource, is_busy: bool) -> Trial | None:
        """Returns the next trial of a source; None if it has none now.

        Args:
            source: The source.
            is_busy: Whether trials of the source have started and not yet ended.
        """
        if source.pending:
            trial = source.pending.pop(0)
            return replace(trial, attempt=trial.attempt + 1)
        proposal = source.searcher.ask(source.asked)
        if isinstance(proposal, Proposal):
            return self._trial(source, proposal)
        # Without a running trial of this source, the searcher would wait for ever.
        source.waiting = proposal is NoProposal.WAIT and is_busy
        source.exhausted = not source.waiting
        return None

    def prepare_one(self) -> None:
        """Prepares one source that was not prepared yet; the driver's events wait meanwhile."""
        over = self._search_is_over()
        for source in self._sources:
            if source.prepare is not None and source.has_work(over):
                prepare, source.prepare = source.prepare, None
                prepare()
                return

    def late(self, source: TrialSource) -> str:
        """Returns why a source's running trials must end after their epoch; empty if not."""
        return self._limit.out_of_time() if self._limit and source.searches else ""

    def learn(self, record: TrialRecord) -> None:
        """Learns the end of a trial."""
        if self._limit is not None:
            self._limit.learn(record)

    def _search_is_over(self) -> bool:
        return self._limit is not None and bool(self._limit.over())

    def _trial(self, source: TrialSource, proposal: Proposal) -> Trial:
        number = source.asked
        source.asked += 1
        searcher = source.searcher.name
        seed = proposal.seed
        if seed is None:
            seed = derive_seed(self._study_seed, searcher, number)
        return Trial(
            name=proposal.name or trial_name(searcher, number),
            number=number,
            params={**proposal.params, **self._fixed},
            phase=source.phase,
            searcher=searcher,
            seed=seed,
            epochs=proposal.epochs or source.epochs,
            resume_from=proposal.resume_from,
            keep_checkpoint=proposal.keep_checkpoint,
            tags=proposal.tags,
        )


def _waits_for_others(source: TrialSource, busy: Collection[TrialSource], over: bool) -> bool:
    return any(other in busy or other.has_work(over) for other in source.after)


def _service_order(source: TrialSource) -> tuple[int, bool, int]:
    """Returns a sort key; the source with the smallest key is served first."""
    return source.priority, not source.pending, source.asked
