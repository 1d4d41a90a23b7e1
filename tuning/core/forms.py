"""The forms in which a model is registered: one of raw input, or the Keras model itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """The files from which MLflow makes a model that takes raw input.

    Attributes:
        code: Python file in MLflow's models-from-code form; it imports nothing of the project.
        artifacts: Local files, by the name under which the code finds them.
        inputs: MLflow types of the input columns, by column name and in order.
        outputs: MLflow types of the output columns, by column name and in order.
        input_example: Example values of each input column, by column name.
        rows_belong_together: Whether the rows of the example are one input, such as the table of a
            forecast; otherwise each row is one.
        pip_requirements: Exact package requirements of ``code``.
        intended_use: Purpose of the model in one or two sentences, for the model card.
        limits: Known limits of the model, one sentence each, for the model card.
    """

    code: Path
    artifacts: Mapping[str, Path]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    input_example: Mapping[str, Sequence[Any]]
    pip_requirements: Sequence[str]
    intended_use: str = ""
    limits: Sequence[str] = ()
    rows_belong_together: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KerasForm:
    """A Keras model that is registered as it is, because its task has no model of raw input.

    Attributes:
        model_file: Path of the ``.keras`` file.
        spec_file: JSON file with its inputs, outputs and backend, as
            ``tuning.training.saved_model`` writes it.
        example: Inputs of a few examples: an array, or a mapping or a tuple of arrays.
        step: Epoch of the model's weights.
        params: Hyperparameters with which it was built, as text.
    """

    model_file: Path
    spec_file: Path
    example: Any
    step: int
    params: str


# What is registered as a version.
Form = ServedModel | KerasForm
