"""Random search without a library, as a reference for the other searchers."""

import math
import random
from collections.abc import Collection, Iterable, Sequence

from tuning.core.interfaces import NoProposal
from tuning.core.seeds import derive_seed
from tuning.core.trial import (
    CONTINUE,
    Decision,
    Measurement,
    Params,
    ParamValue,
    Proposal,
    TrialRecord,
    TrialResult,
    config_hash,
)
from tuning.study.ranges import Float, Int
from tuning.study.space import SearchSpace

MAX_DRAWS = 100


class RandomSearcher:
    """Draws every configuration independently, and no configuration twice.

    Args:
        name: Name of the searcher.
        space: Search space.
        seed: Seed of the draws; a draw depends on the seed and on the number of the trial.
        first: Configuration to propose first.
        enqueue: Configurations to propose after it.
    """

    def __init__(
        self,
        name: str,
        space: SearchSpace,
        seed: int,
        first: Params,
        enqueue: Sequence[Params] = (),
    ) -> None:
        self.name = name
        self._space = space
        self._seed = seed
        self._first = [first, *enqueue]
        self._seen: set[str] = set()

    def ask(self, number: int) -> Proposal | NoProposal:
        """Proposes a configuration that was not proposed before."""
        if number < len(self._first):
            return self._propose(self._first[number])
        params = draw_unseen(self._space, self._seed, number, self._seen)
        return NoProposal.EXHAUSTED if params is None else self._propose(params)

    def report(self, number: int, measurement: Measurement) -> Decision:
        """Lets every trial continue."""
        return CONTINUE

    def tell(self, number: int, result: TrialResult) -> None:
        """Ignores the result."""

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Remembers the configurations that were proposed in an earlier run."""
        for record in records:
            params = self._space.select(record.trial.params)
            self._seen.add(config_hash(params))

    def _propose(self, params: Params) -> Proposal:
        self._seen.add(config_hash(params))
        return Proposal(params=params)


def draw_unseen(
    space: SearchSpace, seed: int, number: int, seen: Collection[str]
) -> dict[str, ParamValue] | None:
    """Draws a configuration whose hash is not among ``seen``.

    Args:
        space: Search space.
        seed: Seed of the draws; a draw depends on the seed and on the number of the trial.
        number: Number of the trial.
        seen: Hashes of the configurations that must not be drawn.

    Returns:
        The configuration; None if no configuration is left, or if ``MAX_DRAWS`` draws found none.
    """
    if len(seen) >= space.size():
        return None
    for draw in range(MAX_DRAWS):
        params = _draw(space, random.Random(derive_seed(seed, number, draw)))
        if config_hash(params) not in seen:
            return params
    return None


def _draw(space: SearchSpace, source: random.Random) -> dict[str, ParamValue]:
    params: dict[str, ParamValue] = {}
    for name in space.names:
        if not space.is_active(name, params):
            continue
        hyperparameter = space[name]
        if isinstance(hyperparameter, Int | Float) and hyperparameter.log:
            low, high = math.log(hyperparameter.low), math.log(hyperparameter.high)
            drawn = math.exp(source.uniform(low, high))
            drawn = round(drawn) if isinstance(hyperparameter, Int) else drawn
            value: ParamValue = min(max(drawn, hyperparameter.low), hyperparameter.high)
        elif (grid := hyperparameter.grid()) is not None:
            value = source.choice(grid)
        else:
            assert isinstance(hyperparameter, Float), "all others have a grid"
            value = source.uniform(hyperparameter.low, hyperparameter.high)
        params[name] = value
    return space.canonical(params)
