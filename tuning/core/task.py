"""The protocol of a user's task: data, model, and optional extras."""

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from tuning.core.errors import BadInputError

if TYPE_CHECKING:
    import keras
    import numpy as np
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class DataInfo:
    """Description of the data that a study uses.

    Attributes:
        label: Short name that goes into run tags and selects a profile of the study.
        name: Full name, for reports.
        source: Path or address of the data.
        digest: Hexadecimal digest of the raw data and the preprocessing.
        sizes: Number of examples by split.
        warning: Sentence that is shown prominently; empty for no warning. Models of data with a
            warning are registered under a separate name.
        cannot_serve: Reason why no model of raw input can be registered; empty if it can.
    """

    label: str
    name: str
    source: str
    digest: str
    sizes: Mapping[str, int]
    warning: str = ""
    cannot_serve: str = ""


Split = Literal["search", "test"]


Examples = tuple["np.ndarray", "np.ndarray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """The files from which MLflow makes a model that takes raw input.

    Attributes:
        code: Python file in MLflow's models-from-code form; it imports nothing of the project.
        artifacts: Local files, by the name under which the code finds them.
        input_column: Name of the text column.
        outputs: MLflow types of the output columns, by column name and in order.
        input_example: Example values of the input column.
        pip_requirements: Exact package requirements of ``code``.
        intended_use: Purpose of the model in one or two sentences, for the model card.
        limits: Known limits of the model, one sentence each, for the model card.
    """

    code: Path
    artifacts: Mapping[str, Path]
    input_column: str
    outputs: Mapping[str, str]
    input_example: Sequence[str]
    pip_requirements: Sequence[str]
    intended_use: str = ""
    limits: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """A capability of models, with inputs that test it.

    Attributes:
        name: Name of the capability, in words.
        expects: Expected class of every input (``positive``, ``negative``), or expected effect of
            a change of the input: the class stays the ``same``, or the probability of class 1
            gets ``higher`` or ``lower``.
        example: One of the tests as text, for reports.
        inputs: Inputs in the form that the model takes, of shape (tests, …).
        changed: The same inputs after the change; None if the behaviour has no change.
    """

    name: str
    expects: Literal["positive", "negative", "same", "higher", "lower"]
    example: str
    inputs: "np.ndarray"
    changed: "np.ndarray | None" = None


# A function that answers raw inputs; the data frame has one row per input.
Ask = Callable[[Sequence[str]], "pd.DataFrame"]
# A function that returns the parts of an input and how much each moves the answer.
Explain = Callable[[Ask, str], Sequence[tuple[str, float]]]


@runtime_checkable
class HasTestLengths(Protocol):
    """A task that knows the length of each input of its test split (optional)."""

    def test_lengths(self) -> "np.ndarray | None":
        """Returns the length of each input, of shape (examples,); None without lengths."""
        ...


@runtime_checkable
class HasTestTexts(Protocol):
    """A task that can show inputs of its test split as text (optional)."""

    def test_texts(self, indexes: Sequence[int]) -> Mapping[int, str]:
        """Returns the inputs at these positions as text; it may leave out unknown ones."""
        ...


@runtime_checkable
class HasBehaviours(Protocol):
    """A task that tests capabilities of its models (optional)."""

    def behaviours(self) -> Sequence[Behaviour]:
        """Returns the capabilities and their tests."""
        ...


@runtime_checkable
class HasYardsticks(Protocol):
    """A task that has simple models for comparison (optional)."""

    def yardsticks(self) -> "Mapping[str, np.ndarray]":
        """Returns the probabilities of class 1 on the test split, by name of the simple model."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A task that can explain an answer (optional)."""

    @staticmethod
    def explain(ask: Ask, text: str) -> Sequence[tuple[str, float]]:
        """Returns the parts of an input that moved its answer most.

        Args:
            ask: Function that answers raw inputs; the data frame has one row per input.
            text: Input to explain.

        Returns:
            Pairs of a part and the amount by which it raises the number in the answer, sorted
            from the strongest to the weakest.
        """
        ...


class Task(Protocol):
    """The data and the model of a study. Users write such a class for every new problem.

    The driver and every worker call ``TaskClass(dataset=…, cache_dir=…, **study.task_options)``,
    so the constructor must be cheap. Workers import Keras without its support for scikit-learn,
    Matplotlib and pandas (``tuning.training.keras_process``), so the data must be arrays.
    """

    def prepare(self) -> DataInfo:
        """Prepares the data on this machine; called once in the driver, before any worker starts.

        Raises:
            BadInputError: The data cannot be loaded, or they are not valid.
        """
        ...

    def worker_options(self) -> Mapping[str, object]:
        """Returns further constructor arguments for the workers; called after ``prepare``.

        A ``pathlib.Path`` among the values is a file or folder that workers read. An executor with
        workers on other machines copies it to them and passes the path of the copy.
        """
        ...

    def load(self, split: Split) -> Mapping[str, Examples]:
        """Loads a split: ``search`` has the parts train and validation, ``test`` has test.

        Before the training, only the labels of ``test`` are looked at. Only the final evaluation
        predicts it.
        """
        ...

    def build(self, params: Mapping[str, object]) -> "keras.Model":
        """Builds a compiled model.

        On JAX, programs that are compiled inside this method are not optimised, because they
        usually run only once, to draw weights. Code that runs often belongs in ``load`` or in the
        training.

        Raises:
            InfeasibleError: The hyperparameters cannot make a model.
        """
        ...

    def serve(self, model_file: Path, folder: Path) -> ServedModel:
        """Writes the files into ``folder`` that a raw-input model needs besides ``model_file``."""
        ...


def import_task(path: str) -> Any:
    """Imports the class that ``package.module:Class`` names.

    Raises:
        BadInputError: The module or the class cannot be imported.
    """
    if os.getcwd() not in sys.path:
        # A script such as ``tuning`` does not search the current folder, unlike ``python -m``.
        sys.path.insert(0, os.getcwd())
    module_name, _, class_name = path.partition(":")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise BadInputError(
            f"task: {path!r} cannot be imported ({error}); "
            "write it as package.module:Class; the current folder must be able to import it"
        ) from error
