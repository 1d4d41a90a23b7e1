"""A searcher whose configurations are trained several times, with different seeds."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from statistics import fmean

from tuning.core.interfaces import NoProposal, Searcher
from tuning.core.trial import (
    CONTINUE,
    REPEAT,
    Decision,
    Measurement,
    Proposal,
    TrialRecord,
    TrialResult,
    TrialState,
)


class RepeatedSearcher:
    """Proposes each configuration of another searcher several times, and tells it the mean.

    No trial is pruned, because a part of a mean cannot be compared with a mean.

    Args:
        searcher: Searcher that proposes the configurations.
        repeats: Number of trainings per configuration.
        tags: Function that returns the tags of a repeat, by its number from 0.
    """

    def __init__(
        self,
        searcher: Searcher,
        repeats: int,
        tags: Callable[[int], Mapping[str, str]] = lambda repeat: {},
    ) -> None:
        self.name = searcher.name
        self._tags = tags
        self._searcher = searcher
        self._repeats = repeats
        self._open: dict[int, Proposal] = {}
        self._results: dict[int, dict[int, TrialResult]] = {}

    def ask(self, number: int) -> Proposal | NoProposal:
        """Proposes a new configuration, or the last one again."""
        group, repeat = divmod(number, self._repeats)
        if group not in self._open:
            proposal = self._searcher.ask(group)
            if isinstance(proposal, NoProposal):
                return proposal
            self._open[group] = proposal
        proposal = self._open[group]
        tags = {**proposal.tags, REPEAT: str(repeat + 1), **self._tags(repeat)}
        return replace(proposal, tags=tags)

    def report(self, number: int, measurement: Measurement) -> Decision:
        """Lets every trial continue."""
        return CONTINUE

    def tell(self, number: int, result: TrialResult) -> None:
        """Tells the searcher the mean, once all trainings of the configuration have ended."""
        group = number // self._repeats
        results = self._results.setdefault(group, {})
        results[number] = result
        if len(results) == self._repeats:
            del self._open[group], self._results[group]
            self._searcher.tell(group, _mean([*results.values()]))

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Learns the trials of an earlier run; a configuration with missing ones goes on."""
        groups: dict[int, list[TrialRecord]] = {}
        # The trials of another study, which have negative numbers, are no repeats.
        restored: list[TrialRecord] = []
        for record in records:
            if record.trial.number < 0:
                restored.append(record)
                continue
            groups.setdefault(record.trial.number // self._repeats, []).append(record)
        for group, members in sorted(groups.items()):
            first = members[0]
            ended = {
                each.trial.number: each.result
                for each in members
                if each.result.state is not TrialState.INTERRUPTED
            }
            result = TrialResult(state=TrialState.INTERRUPTED)
            if len(ended) == self._repeats:
                result = _mean([*ended.values()])
            else:
                self._open[group] = Proposal(params=first.trial.params)
                self._results[group] = ended
            trial = replace(first.trial, number=group)
            restored.append(replace(first, trial=trial, result=result))
        self._searcher.restore(restored)


def _mean(results: list[TrialResult]) -> TrialResult:
    """Returns a result with the mean of the values; one without a value if one has none."""
    for result in results:
        if result.state is not TrialState.COMPLETED or result.value is None:
            return result
    return replace(results[0], value=fmean(result.value or 0.0 for result in results))
