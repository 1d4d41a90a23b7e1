"""Results on the test split, as the store keeps them and the report reads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

# What the models of a study predict.
Kind = Literal["binary", "multiclass", "multilabel", "regression"]


@dataclass(frozen=True)
class BehaviourCount:
    """Failures of one model in the tests of one behaviour; see ``tuning.core.task.Behaviour``."""

    name: str
    expects: str
    example: str
    tests: int
    failures: int


@dataclass(frozen=True)
class Look:
    """A reading of a test split: models predicted its rows, and somebody could see the result.

    Attributes:
        number: Number of the look among all looks at these rows in the store, from 1.
        at: Time of the look, as text in UTC.
        study: Name of the study.
        rows: Digest of the test rows.
        models: Names of the trials whose models predicted them.
    """

    number: int
    at: str
    study: str
    rows: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class Predictions:
    """Predictions of the confirmed models on the test split.

    ``tuning.metrics.metric.Metric`` says in which form the truth and the predictions of each kind
    are. An example has one row, or a row per step if the models classify each step of a sequence.

    Attributes:
        truth: Truth of each row.
        outputs: Predictions of each row, by trial name.
        kind: Kind of prediction: ``binary``, ``multiclass``, ``multilabel`` or ``regression``.
        steps: Number of rows per example; the rows of an example follow each other.
        weights: Weights of the examples, of shape (examples,); None for equal weights.
        classes: Names of the classes, labels or targets; empty if they have no names.
        quantiles: Quantiles that the last axis of ``outputs`` predicts, whose shape is then (rows,
            targets, quantiles); empty if each prediction is one number.
        shape: Shape of the targets of one example, such as (horizon, series); empty for one
            target.
        scales: Numbers by which metrics are divided, by name of the metric.
        lengths: Lengths of the inputs, of shape (examples,); None if inputs have no length.
        times: Time of each example, of shape (examples,), as numbers or NumPy's dates; None if the
            examples have no times. Of a forecast it is the first time that is forecast.
        ends: Last time that the targets of each example cover, of shape (examples,); None if they
            cover one time.
        groups: Group of each example, of shape (examples,); None if examples are independent.
        overlap: Share of the training rows that two trainings with different fresh seeds have in
            common, from 0 to 1; 1 if all seeds train on the same rows.
        seen: Length of the part of an input that models see, in the unit of ``lengths``; 0 if
            they see the whole input.
        texts: Inputs on which two models differ, as text, by position in the test split.
        images: Such inputs as pictures (data URIs), by position; empty if they are no pictures.
        behaviours: Results of the behaviour tests, by trial name.
        yardsticks: Predictions from simple models, by the name of the model, in the same form as
            ``outputs``.
    """

    truth: "np.ndarray[Any, Any]"
    outputs: Mapping[str, "np.ndarray[Any, Any]"]
    kind: Kind = "binary"
    steps: int = 1
    weights: "np.ndarray[Any, Any] | None" = None
    classes: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()
    shape: tuple[int, ...] = ()
    scales: Mapping[str, float] = field(default_factory=dict)
    lengths: "np.ndarray[Any, Any] | None" = None
    times: "np.ndarray[Any, Any] | None" = None
    ends: "np.ndarray[Any, Any] | None" = None
    groups: "np.ndarray[Any, Any] | None" = None
    overlap: float = 1.0
    seen: int = 0
    texts: Mapping[int, str] = field(default_factory=dict)
    images: Mapping[int, str] = field(default_factory=dict)
    behaviours: Mapping[str, tuple[BehaviourCount, ...]] = field(default_factory=dict)
    yardsticks: Mapping[str, "np.ndarray[Any, Any]"] = field(default_factory=dict)

    @property
    def examples(self) -> int:
        """Number of examples."""
        return len(self.truth) // self.steps

    def points(self, output: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """Returns one number per target: of quantiles that which is nearest to the median.

        Args:
            output: Predictions of a model, for example an entry of ``outputs``.

        Returns:
            Predictions in the shape of ``truth``.
        """
        if not self.quantiles or output.ndim < 3:
            return output
        nearest = min(range(len(self.quantiles)), key=lambda i: abs(self.quantiles[i] - 0.5))
        return output[:, :, nearest].reshape(self.truth.shape)
