"""A searcher that is created late, so that workers do not wait for the import of its library."""

from collections.abc import Callable, Iterable

from tuning.core.interfaces import NoProposal, Searcher
from tuning.core.trial import Decision, Measurement, Proposal, TrialRecord, TrialResult


class DeferredSearcher:
    """A searcher that creates the real searcher when it is prepared or first used.

    Args:
        name: Name of the searcher.
        make: Function that creates the real searcher.
    """

    def __init__(self, name: str, make: Callable[[], Searcher]) -> None:
        self.name = name
        self._make = make
        self._searcher: Searcher | None = None
        self._earlier: list[TrialRecord] = []

    def prepare(self) -> None:
        """Creates the real searcher, unless it exists already."""
        self._get()

    def ask(self, number: int) -> Proposal | NoProposal:
        """Asks the real searcher."""
        return self._get().ask(number)

    def report(self, number: int, measurement: Measurement) -> Decision:
        """Reports to the real searcher."""
        return self._get().report(number, measurement)

    def tell(self, number: int, result: TrialResult) -> None:
        """Tells the real searcher."""
        self._get().tell(number, result)

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Keeps the records for the real searcher, which does not exist yet."""
        self._earlier = [*records]

    def _get(self) -> Searcher:
        if self._searcher is None:
            searcher = self._make()
            searcher.restore(self._earlier)
            self._searcher = searcher
        return self._searcher
