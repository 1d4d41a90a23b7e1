"""Test examples that depend on each other, and the samples in which they stay together."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Counts = NDArray[np.int64]

# The bootstrap only estimates a standard error; 400 samples give it to within 4%.
SAMPLES = 400
SEED = 0
# Largest number of weights that are computed together, so that memory stays below 200 MB.
MAX_WEIGHTS = 4_000_000


@dataclass(frozen=True, eq=False)
class Units:
    """The units of a test split that a sample has as a whole.

    Attributes:
        kind: Meaning of a unit: an ``example``, a ``group`` of examples, or a ``time``, which is
            all examples of one time.
        index: Number of the unit of each example, of shape (examples,); times are in their order.
        count: Number of units.
        length: Number of units per block; blocks of consecutive times are drawn together.
    """

    kind: Literal["example", "group", "time"]
    index: NDArray[np.int64]
    count: int
    length: int = 1

    @property
    def draws(self) -> float:
        """Number of independent draws in a sample: of units, or of blocks of units."""
        return self.count / self.length


def independent(examples: int) -> Units:
    """Returns the units of examples that do not depend on each other."""
    return Units("example", np.arange(examples), examples)


def deviations(contributions: Floats, units: Units) -> Floats:
    """Sums the contributions of examples to a mean by unit or block, with the right scale.

    The sum of the squares of a row is the variance of its mean. For groups it is the variance
    between clusters: Cameron and Miller, "A Practitioner's Guide to Cluster-Robust Inference",
    Journal of Human Resources 50, 2015. For times it is what a bootstrap of circular blocks
    converges to: Politis and Romano, "A circular block-resampling procedure for stationary data",
    1992.

    Args:
        contributions: Contribution of each example to the mean of each model, centred, of shape
            (models, examples).
        units: Units of the examples.

    Returns:
        Deviations of shape (models, units). They are infinite if there is one independent draw
        only.
    """
    if units.draws <= 1:
        return np.full((len(contributions), 1), np.inf)
    sums = contributions
    if units.kind != "example":
        sums = np.stack([np.bincount(units.index, row, units.count) for row in contributions])
    if units.length > 1:
        wrapped = np.concatenate([sums, sums[:, : units.length - 1]], axis=1)
        edges = np.pad(np.cumsum(wrapped, axis=1), ((0, 0), (1, 0)))
        sums = edges[:, units.length :] - edges[:, : -units.length]
    # The factor n / (n - 1) of a variance, with the number of independent draws for n.
    return np.asarray(sums * (units.draws / (units.draws - 1) / units.length) ** 0.5)


def sample_counts(units: Units) -> Iterator[Counts]:
    """Yields how often each bootstrap sample has each example, the same samples every time.

    Yields:
        Arrays of shape (samples, examples) for ``SAMPLES`` samples together.
    """
    examples = len(units.index)
    batch = max(1, min(SAMPLES, MAX_WEIGHTS // max(examples, units.count, 1)))
    kept = SAMPLES * units.count <= MAX_WEIGHTS
    every = _kept_counts if kept else _draw_counts
    for counts in every(units.count, units.length, batch):
        yield counts if units.kind == "example" else counts[:, units.index]


@lru_cache(maxsize=4)
def _kept_counts(count: int, length: int, batch: int) -> list[Counts]:
    """Keeps the batches, because the samples are the same for all models."""
    return list(_draw_counts(count, length, batch))


def _draw_counts(count: int, length: int, batch: int) -> Iterator[Counts]:
    random = np.random.default_rng(SEED)
    for start in range(0, SAMPLES, batch):
        size = min(batch, SAMPLES - start)
        drawn = random.integers(count, size=(size, -(-count // length)))
        if length > 1:
            blocks = (drawn[:, :, None] + np.arange(length)) % count
            drawn = blocks.reshape(size, -1)[:, :count]
        yield np.stack([np.bincount(row, minlength=count) for row in drawn])
