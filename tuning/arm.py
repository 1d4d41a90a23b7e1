"""What the driver runs: a searcher, the phase of its trials, and what they may cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tuning.protocols import Searcher
from tuning.trial import Phase, Trial


@dataclass(eq=False)
class Arm:
    """A searcher and what it may spend.

    Attributes:
        searcher: Proposes the trials.
        phase: Of its trials.
        epochs: Total epochs of a trial, unless the proposal says otherwise.
        budget: Trials; None for as many as it proposes.
        priority: Arms of a lower number are served first.
        after: Arms that must have ended before this one begins.
        asked: Trials proposed so far, those of an earlier run included.
        pending: Trials of an earlier run that did not end; they go first, under their old names
            and seeds.
        prepare: Called once, after the first trials have been given to the workers and perhaps
            before the searcher is asked; may take seconds.
    """

    searcher: Searcher
    phase: Phase
    epochs: int
    budget: int | None = None
    priority: int = 0
    after: Sequence["Arm"] = ()
    asked: int = 0
    pending: list[Trial] = field(default_factory=list)
    prepare: Callable[[], None] | None = None
    waiting: bool = False
    exhausted: bool = False

    @property
    def searches(self) -> bool:
        """Whether it is a part of the search."""
        return self.phase is Phase.SEARCH

    def open(self, late: bool = False) -> bool:
        """Whether it has a trial to train, or may be asked for one.

        Args:
            late: Whether the time for the search is over.
        """
        if late and self.searches:
            return False
        if self.pending:
            return True
        spent = self.budget is not None and self.asked >= self.budget
        return not (spent or self.exhausted or self.waiting)
