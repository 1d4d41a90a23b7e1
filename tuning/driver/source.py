"""A source of trials: a searcher with the phase and the budget of its trials."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tuning.core.interfaces import Searcher
from tuning.core.trial import Phase, Trial, TrialRecord


@dataclass(eq=False)
class TrialSource:
    """A searcher with the phase and the budget of its trials.

    Attributes:
        searcher: Searcher that proposes the trials.
        phase: Phase of the trials.
        epochs: Total number of epochs per trial, unless the proposal has another number.
        budget: Number of trials; None for as many as the searcher proposes.
        priority: Rank of the source; sources with a lower number are served first.
        after: Sources that must end before this source begins.
        on_begin: Function that is called once, after the sources in ``after`` have ended and
            before the searcher is asked. Its argument is all trials that have ended, including
            those of an earlier run.
        asked: Number of trials proposed so far, including those of an earlier run.
        pending: Trials of an earlier run that did not end. They are trained first, with their old
            names and seeds.
        prepare: Function that is called once, after the first trials were given to the workers;
            it may take seconds. The searcher may be asked before this call.
        waiting: Whether the searcher must learn a result before it can propose.
        exhausted: Whether the searcher has no more proposals.
    """

    searcher: Searcher
    phase: Phase
    epochs: int
    budget: int | None = None
    priority: int = 0
    after: Sequence["TrialSource"] = ()
    on_begin: Callable[[Sequence[TrialRecord]], None] | None = None
    asked: int = 0
    pending: list[Trial] = field(default_factory=list)
    prepare: Callable[[], None] | None = None
    waiting: bool = False
    exhausted: bool = False

    @property
    def searches(self) -> bool:
        """Whether the source is a part of the search."""
        return self.phase is Phase.SEARCH

    def has_work(self, search_is_over: bool = False) -> bool:
        """Returns whether the source has a trial to train, or may be asked for one.

        Args:
            search_is_over: Whether no trial of the search may begin any more.
        """
        if search_is_over and self.searches:
            return False
        if self.pending:
            return True
        spent = self.budget is not None and self.asked >= self.budget
        return not (spent or self.exhausted or self.waiting)
