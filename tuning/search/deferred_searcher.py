"""A searcher that is made late: to import its library takes seconds, and workers would wait."""

from collections.abc import Callable, Iterable

from tuning.core.interfaces import NoProposal, Searcher
from tuning.core.trial import Decision, Measurement, Proposal, TrialRecord, TrialResult


class DeferredSearcher:
    """Stands for a searcher until it is prepared, or first used.

    Args:
        name: The searcher's.
        make: Makes it.
    """

    def __init__(self, name: str, make: Callable[[], Searcher]) -> None:
        self.name = name
        self._make = make
        self._made: Searcher | None = None
        self._earlier: list[TrialRecord] = []

    def prepare(self) -> None:
        """Makes the searcher, unless that is done."""
        self._get()

    def ask(self, number: int) -> Proposal | NoProposal:
        """Asks the searcher."""
        return self._get().ask(number)

    def report(self, number: int, measurement: Measurement) -> Decision:
        """Reports to the searcher."""
        return self._get().report(number, measurement)

    def tell(self, number: int, result: TrialResult) -> None:
        """Tells the searcher."""
        self._get().tell(number, result)

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Keeps the records for the searcher, unless it is there."""
        self._earlier = [*records]
        if self._made is not None:
            self._made.restore(self._earlier)

    def _get(self) -> Searcher:
        if self._made is None:
            made = self._make()
            made.restore(self._earlier)
            self._made = made
        return self._made
