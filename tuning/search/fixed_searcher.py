"""Proposes a given list: the baseline's seeds, the references, the confirmation."""

from collections.abc import Iterable, Sequence

from tuning.core.interfaces import NoProposal
from tuning.core.trial import CONTINUE, Decision, Measurement, Proposal, TrialRecord, TrialResult


class FixedSearcher:
    """Proposes each item of a list once, in order, and stops none of them early.

    Args:
        name: The searcher's name.
        proposals: The list; ``propose`` gives it later if it is not known yet.
    """

    def __init__(self, name: str, proposals: Sequence[Proposal] = ()) -> None:
        self.name = name
        self._proposals = [*proposals]
        self._done: set[str | None] = set()

    def propose(self, proposals: Sequence[Proposal]) -> None:
        """Adds to the list."""
        self._proposals += proposals

    def ask(self, number: int) -> Proposal | NoProposal:
        """Proposes the next item of the list that has not been trained."""
        while self._proposals:
            proposal = self._proposals.pop(0)
            if proposal.name is None or proposal.name not in self._done:
                return proposal
        return NoProposal.EXHAUSTED

    def report(self, number: int, measurement: Measurement) -> Decision:
        """Lets every trial go on."""
        return CONTINUE

    def tell(self, number: int, result: TrialResult) -> None:
        """Learns nothing."""

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Leaves out what has been trained, or is about to be trained again."""
        self._done |= {record.trial.name for record in records}
