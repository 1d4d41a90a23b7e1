"""What the outputs of a Keras model mean: their kind, and how they become predictions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tuning.core.errors import BadInputError
from tuning.core.record import Kind
from tuning.metrics.losses import UNKNOWN, LossFamily, last_activation, meaning_of_loss
from tuning.metrics.metric import REGRESSION, Metric

if TYPE_CHECKING:
    import keras

Meaning = Literal["probabilities", "logits", "values"]


@dataclass(frozen=True)
class OutputForm:
    """The form of a model's judged output.

    Attributes:
        kind: Kind of prediction.
        meaning: Whether the values are probabilities, logits, or the predicted numbers themselves.
        index: Position of the judged output among the model's outputs.
        name: Name of the judged output.
        units: Size of the last axis; 1 if the output has no axis of units.
        is_certain: Whether the layers of the model tell the meaning of its values. Those of a
            subclassed model do not.
        quantiles: Number of quantiles on the last axis; 0 if it has none.
        steps: Shape of the output between the examples and the units, which is empty unless every
            step of a sequence is judged; None for a size that differs between batches.
    """

    kind: Kind
    meaning: Meaning
    index: int
    name: str
    units: int
    is_certain: bool
    steps: tuple[int | None, ...] = ()
    quantiles: int = 0

    @property
    def rows_per_example(self) -> int | None:
        """Number of rows per example; None if it differs between batches."""
        known = [size for size in self.steps if size is not None]
        return math.prod(known) if len(known) == len(self.steps) else None

    @property
    def units_of_labels(self) -> int:
        """Size of the last axis of labels of numbers: labels have no axis of quantiles."""
        return 1 if self.quantiles else self.units

    def select(self, structure: Any) -> Any:
        """Returns the judged part of outputs or targets, which may be a list or a mapping."""
        if isinstance(structure, Mapping):
            if self.name in structure:
                return structure[self.name]
            return list(structure.values())[self.index]
        if isinstance(structure, list | tuple):
            return structure[self.index]
        return structure


@dataclass(frozen=True)
class _Output:
    """An output of a model: its name, its shape without the examples, and its activation."""

    name: str
    shape: tuple[int | None, ...]
    activation: str


def output_form(
    model: "keras.Model",
    labels: Any,
    metric: Metric,
    *,
    output: str | None = None,
    outputs: Literal["auto", "probabilities", "logits"] = "auto",
    example: Any = None,
) -> OutputForm:
    """Finds out what the judged output of a compiled model means.

    Args:
        model: Compiled model.
        labels: Labels of some examples, in the structure of the model's outputs.
        metric: Metric that judges the output.
        output: Name of the judged output; None if the model has only one.
        outputs: Whether the output is said to be probabilities or logits; ``auto`` if not.
        example: Inputs of at least one example, for a model that has not been called yet.

    Raises:
        BadInputError: The output cannot be judged by this metric; the message says why, and what
            can be changed.
    """
    every = _outputs_of(model, example)
    index = _judged(every, output)
    chosen = every[index]
    units = chosen.shape[-1] if chosen.shape else 1
    if units is None:
        raise BadInputError(f"task: the size of the model's output {chosen.name!r} is unknown")
    is_certain, steps = chosen.activation != UNKNOWN, chosen.shape[:-1]
    form = OutputForm("regression", "values", index, chosen.name, units, is_certain, steps)
    if metric.quantiles:
        if units != len(metric.quantiles):
            raise BadInputError(
                f"compare.metric: {metric.name} needs an output whose last axis has "
                f"{len(metric.quantiles)} quantiles; {chosen.name!r} has the shape "
                f"{('examples', *chosen.shape)}"
            )
        return replace(form, quantiles=units)
    family, loss_is_logits = meaning_of_loss(model, index, chosen.name)
    if metric.kinds == REGRESSION or _is_regression(metric, family, chosen, outputs):
        return form
    _refuse_softmax_of_one(chosen, units)
    meaning = _meaning(metric, chosen, family, loss_is_logits, outputs)
    kind = _kind(chosen, units, np.asarray(form.select(labels)), family)
    if kind not in metric.kinds:
        raise BadInputError(
            f"compare.metric: {metric.name} judges {' or '.join(sorted(metric.kinds))} "
            f"predictions, but the model's are {kind}; choose another metric"
        )
    return replace(form, kind=kind, meaning=meaning)


def symbols_of(inputs: Any) -> Any:
    """Returns inputs without values in the same structure, with any number of examples."""
    import keras

    return keras.tree.map_structure(
        lambda array: keras.KerasTensor((None, *array.shape[1:]), str(array.dtype)), inputs
    )


def _outputs_of(model: "keras.Model", example: Any) -> list[_Output]:
    import keras

    if not isinstance(model, keras.Model):
        raise BadInputError(f"task: build returns a {type(model).__name__}, not a keras.Model")
    try:
        tensors = model.outputs
    except (AttributeError, ValueError):  # it is subclassed, or not built
        tensors = None
    if tensors:
        return [
            _Output(name, tuple(tensor.shape[1:]), last_activation(tensor))
            for name, tensor in zip(_names_of(model, len(tensors)), tensors, strict=True)
        ]
    result = model(symbols_of(example))
    pairs = (
        list(result.items())
        if isinstance(result, Mapping)
        else [(f"output_{i}", each) for i, each in enumerate(result)]
        if isinstance(result, list | tuple)
        else [("output", result)]
    )
    return [_Output(str(name), tuple(tensor.shape[1:]), UNKNOWN) for name, tensor in pairs]


def _names_of(model: "keras.Model", count: int) -> list[str]:
    """Returns the names of the outputs in the order of ``model.outputs``."""
    structure = getattr(model, "_outputs_struct", None)
    if isinstance(structure, Mapping):
        return sorted(structure)  # Keras flattens mappings in the order of their keys
    names = list(getattr(model, "output_names", []))
    if len(names) == count:
        return names
    return ["output"] if count == 1 else [f"output_{index}" for index in range(count)]


def _judged(every: Sequence[_Output], name: str | None) -> int:
    names = [each.name for each in every]
    if name is None and len(every) == 1:
        return 0
    if name in names:
        return names.index(name)
    listed = ", ".join(names)
    if name is None:
        raise BadInputError(
            f"compare.output: the model has {len(every)} outputs ({listed}); name the one that "
            f"is judged, as in compare: {{output: {names[0]}}}"
        )
    raise BadInputError(f"compare.output: the model has no output {name!r}; it has {listed}")


def _is_regression(
    metric: Metric,
    family: LossFamily,
    output: _Output,
    outputs: Literal["auto", "probabilities", "logits"],
) -> bool:
    """Whether a metric of the user, which may judge both, judges numbers."""
    if "regression" not in metric.kinds or outputs != "auto":
        return False
    if output.activation in ("sigmoid", "softmax"):
        return False
    return family in ("regression", "unknown")


def _meaning(
    metric: Metric,
    output: _Output,
    family: LossFamily,
    loss_is_logits: bool,
    outputs: Literal["auto", "probabilities", "logits"],
) -> Meaning:
    if outputs != "auto":
        return outputs
    if output.activation in ("sigmoid", "softmax"):
        return "probabilities"
    if family in ("binary", "categorical"):
        if output.activation == "linear" and not loss_is_logits:
            raise BadInputError(
                f"task: the model's output {output.name!r} is linear, but its loss takes "
                "probabilities; give the last layer an activation (sigmoid, softmax), or the loss "
                "from_logits=True"
            )
        return "logits" if loss_is_logits else "probabilities"
    loss = "a loss of regression" if family == "regression" else "a loss that is not known here"
    raise BadInputError(
        f"compare.metric: {metric.name} judges classifiers, but whether the model's output "
        f"{output.name!r} is probabilities or logits is unknown: its activation is "
        f"{output.activation}, and it has {loss}. For a classifier, write compare: {{outputs: "
        "logits}, or probabilities; for regression, choose a metric such as rmse"
    )


def _refuse_softmax_of_one(output: _Output, units: int) -> None:
    if units == 1 and output.activation == "softmax":
        raise BadInputError(
            f"task: the model's output {output.name!r} is a softmax of one unit, which is always "
            "1; use a sigmoid, or a unit per class"
        )


def _kind(output: _Output, units: int, labels: NDArray[Any], family: LossFamily) -> Kind:
    if units == 1 or output.shape == labels.shape[1:] == ():
        return "binary"
    per_unit = labels.ndim == len(output.shape) + 1 and labels.shape[-1] == units
    is_softmax = output.activation == "softmax" or family == "categorical"
    if not is_softmax and (output.activation == "sigmoid" or family == "binary"):
        if per_unit:
            return "multilabel"
        raise BadInputError(
            f"task: the model's output {output.name!r} has {units} units with a sigmoid each, but "
            f"the labels have the shape {labels.shape}; use softmax for classes that exclude each "
            "other, or give a label per unit"
        )
    if not is_softmax and per_unit and (labels.sum(axis=-1) != 1).any():
        return "multilabel"
    return "binary" if units == 2 else "multiclass"
