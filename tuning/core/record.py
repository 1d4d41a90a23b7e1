"""Results on the test split, as the store keeps them and the report reads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class BehaviourCount:
    """Failures of one model in the tests of one behaviour; see ``tuning.core.task.Behaviour``."""

    name: str
    expects: str
    example: str
    tests: int
    failures: int


@dataclass(frozen=True)
class Predictions:
    """Predictions of the confirmed models on the test split.

    Attributes:
        labels: True classes, 0 or 1, of shape (examples,).
        probabilities: Probabilities of class 1 by trial name, each of shape (examples,).
        lengths: Lengths of the inputs, of shape (examples,); None if inputs have no length.
        seen: Length of the part of an input that models see, in the unit of ``lengths``; 0 if
            they see the whole input.
        texts: Inputs on which two models differ, as text, by position in the test split.
        behaviours: Results of the behaviour tests, by trial name.
        yardsticks: Probabilities of class 1 from simple models, by the name of the model, each of
            shape (examples,).
    """

    labels: "np.ndarray[Any, Any]"
    probabilities: Mapping[str, "np.ndarray[Any, Any]"]
    lengths: "np.ndarray[Any, Any] | None" = None
    seen: int = 0
    texts: Mapping[int, str] = field(default_factory=dict)
    behaviours: Mapping[str, tuple[BehaviourCount, ...]] = field(default_factory=dict)
    yardsticks: Mapping[str, "np.ndarray[Any, Any]"] = field(default_factory=dict)
