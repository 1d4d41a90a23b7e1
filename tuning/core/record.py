"""What was seen of the test split: facts that the store keeps and the report reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class BehaviourCount:
    """How often one model failed the tests of one behaviour; see ``protocols.Behaviour``."""

    name: str
    expects: str
    example: str
    tests: int
    failures: int


@dataclass(frozen=True)
class Predictions:
    """What the confirmed models say of the test split.

    Attributes:
        labels: True classes, 0 or 1, of shape (examples,).
        probabilities: Of class 1, by trial name, each of shape (examples,).
        lengths: Of the inputs, of shape (examples,); None if they have none.
        seen: How much of an input models see, in the unit of ``lengths``; 0 if all of it.
        texts: Inputs on which models differ, by position in the test split.
        behaviours: Tests of what models can do, by trial name.
        yardsticks: What simple models say of the test split, by their names.
    """

    labels: "np.ndarray[Any, Any]"
    probabilities: Mapping[str, "np.ndarray[Any, Any]"]
    lengths: "np.ndarray[Any, Any] | None" = None
    seen: int = 0
    texts: Mapping[int, str] = field(default_factory=dict)
    behaviours: Mapping[str, tuple[BehaviourCount, ...]] = field(default_factory=dict)
    yardsticks: Mapping[str, "np.ndarray[Any, Any]"] = field(default_factory=dict)
