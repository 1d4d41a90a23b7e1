"""A source of trials: a searcher, the phase of its trials, and what they may cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tuning.core.interfaces import Searcher
from tuning.core.trial import Phase, Trial, TrialRecord


@dataclass(eq=False)
class TrialSource:
    """A searcher and what it may spend.

    Attributes:
        searcher: Proposes the trials.
        phase: Phase of the trials.
        epochs: Total epochs per trial, unless the proposal says otherwise.
        budget: Number of trials; None for as many as the searcher proposes.
        priority: Sources of a lower number are served first.
        after: Sources that must have ended before this one begins.
        on_begin: Called once, when the sources in ``after`` have ended and before the searcher is
            asked, with every trial that has ended, those of an earlier run included.
        asked: Trials proposed so far, those of an earlier run included.
        pending: Trials of an earlier run that did not end; they go first, under their old names
            and seeds.
        prepare: Called once, after the first trials have been given to the workers and perhaps
            before the searcher is asked; may take seconds.
        waiting: Whether the searcher has to learn a result before it can propose.
        exhausted: Whether the searcher has nothing more to propose.
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
        """Whether it is a part of the search."""
        return self.phase is Phase.SEARCH

    def has_work(self, search_is_over: bool = False) -> bool:
        """Whether it has a trial to train, or may be asked for one.

        Args:
            search_is_over: Whether no trial of the search may begin any more.
        """
        if search_is_over and self.searches:
            return False
        if self.pending:
            return True
        spent = self.budget is not None and self.asked >= self.budget
        return not (spent or self.exhausted or self.waiting)
