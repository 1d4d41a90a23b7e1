"""Proposes a given list: the baseline's seeds, the references, the confirmation."""

from collections.abc import Callable, Iterable, Sequence

from tuning.protocols import NoProposal
from tuning.trial import CONTINUE, Decision, Measurement, Proposal, TrialRecord, TrialResult


class FixedSearcher:
    """Proposes each of a list once, in order, and stops none of them early.

    Args:
        name: Of the searcher.
        proposals: The list, or what gives it when the first one is asked for.
    """

    def __init__(
        self, name: str, proposals: Sequence[Proposal] | Callable[[], Sequence[Proposal]]
    ) -> None:
        self.name = name
        self._given = proposals
        self._left: list[Proposal] | None = None
        self._done: set[str | None] = set()

    def ask(self, number: int) -> Proposal | NoProposal:
        """Proposes the next of the list."""
        if self._left is None:
            given = self._given() if callable(self._given) else self._given
            self._left = [p for p in given if p.name is None or p.name not in self._done]
        return self._left.pop(0) if self._left else NoProposal.EXHAUSTED

    def report(self, number: int, measurement: Measurement) -> Decision:
        """Lets every trial go on."""
        return CONTINUE

    def tell(self, number: int, result: TrialResult) -> None:
        """Learns nothing."""

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Leaves out what has been trained, or is about to be trained again."""
        self._done |= {record.trial.name for record in records}
