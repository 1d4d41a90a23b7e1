"""Proposes a given list: the baseline's seeds, the references, the confirmation."""

from collections.abc import Iterable, Sequence

from tuning.protocols import NoProposal
from tuning.trial import CONTINUE, Decision, Measurement, Proposal, TrialRecord, TrialResult


class FixedSearcher:
    """Proposes each of ``proposals`` once, in order, and stops none of them early."""

    def __init__(self, name: str, proposals: Sequence[Proposal]) -> None:
        self.name = name
        self._proposals = list(proposals)

    def ask(self, number: int) -> Proposal | NoProposal:
        """Proposes the next of the list."""
        return self._proposals.pop(0) if self._proposals else NoProposal.EXHAUSTED

    def report(self, number: int, measurement: Measurement) -> Decision:
        """Lets every trial go on."""
        return CONTINUE

    def tell(self, number: int, result: TrialResult) -> None:
        """Learns nothing."""

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Leaves out what has been trained, or is about to be trained again."""
        done = {record.trial.name for record in records}
        self._proposals = [p for p in self._proposals if p.name is None or p.name not in done]
