"""A searcher that proposes a given list, for all phases except the search."""

from collections.abc import Iterable, Sequence

from tuning.core.interfaces import NoProposal
from tuning.core.trial import CONTINUE, Decision, Measurement, Proposal, TrialRecord, TrialResult


class FixedSearcher:
    """Proposes each item of a list once and in order, and never stops a trial early.

    Args:
        name: Name of the searcher.
        proposals: List of proposals; ``propose`` can add more of them later.
    """

    def __init__(self, name: str, proposals: Sequence[Proposal] = ()) -> None:
        self.name = name
        self._proposals = [*proposals]
        self._earlier_names: set[str | None] = set()

    def propose(self, proposals: Sequence[Proposal]) -> None:
        """Adds proposals to the list."""
        self._proposals += proposals

    def ask(self, number: int) -> Proposal | NoProposal:
        """Proposes the next item of the list that is not a trial of an earlier run."""
        while self._proposals:
            proposal = self._proposals.pop(0)
            if proposal.name is None or proposal.name not in self._earlier_names:
                return proposal
        return NoProposal.EXHAUSTED

    def report(self, number: int, measurement: Measurement) -> Decision:
        """Lets every trial continue."""
        return CONTINUE

    def tell(self, number: int, result: TrialResult) -> None:
        """Ignores the result."""

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Leaves out the trials of an earlier run; the driver repeats interrupted ones itself."""
        self._earlier_names |= {record.trial.name for record in records}
