"""What a user's task is: its data, its models, and what it may tell beside them."""

import importlib
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
    """What a study is trained on.

    Attributes:
        label: Short name that goes into run tags and selects a profile of the study.
        name: Name for people.
        source: Path or address it came from.
        digest: Hexadecimal digest of raw data and preprocessing.
        sizes: Examples by split.
        warning: A sentence to be shown loudly, or empty.
        cannot_serve: Why no model of raw input can be registered, or empty.
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
    """The files from which MLflow makes a model of raw input.

    Attributes:
        code: A Python file in MLflow's models-from-code form that imports nothing of the project.
        artifacts: Local files by the name under which the code finds them.
        input_column: Name of the text column.
        outputs: MLflow type by output column, in order.
        input_example: A few values of the input column.
        pip_requirements: Exact requirements of ``code``.
        intended_use: What it is for, in a sentence or two; goes into the model card.
        limits: What it should not be trusted with, a sentence each.
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
    """A capability that models are tested for with inputs made for it.

    Attributes:
        name: In words.
        expects: The class of every input (``positive``, ``negative``), or what a change of the
            input does to it: the class stays the ``same``, or its probability gets ``higher`` or
            ``lower``.
        example: One test, for people.
        inputs: As the model takes them, of shape (tests, …).
        changed: The same inputs after the change; None if there is none.
    """

    name: str
    expects: Literal["positive", "negative", "same", "higher", "lower"]
    example: str
    inputs: "np.ndarray"
    changed: "np.ndarray | None" = None


# Answers raw inputs, one row per input.
Ask = Callable[[Sequence[str]], "pd.DataFrame"]
# What moved the answer to an input: its parts, and by how much, the strongest first.
Explain = Callable[[Ask, str], Sequence[tuple[str, float]]]


@runtime_checkable
class HasTestLengths(Protocol):
    """A task that knows the length of each input of its test split; optional."""

    def test_lengths(self) -> "np.ndarray | None":
        """The length of each input, of shape (examples,); None if they have none."""
        ...


@runtime_checkable
class HasTestTexts(Protocol):
    """A task that can show inputs of its test split to people; optional."""

    def test_texts(self, indexes: Sequence[int]) -> Mapping[int, str]:
        """The inputs at these positions, as people read them; those that are known."""
        ...


@runtime_checkable
class HasBehaviours(Protocol):
    """A task that tests capabilities of its models; optional."""

    def behaviours(self) -> Sequence[Behaviour]:
        """Further tests of what a model can do."""
        ...


@runtime_checkable
class HasYardsticks(Protocol):
    """A task that knows simple models to compare with; optional."""

    def yardsticks(self) -> "Mapping[str, np.ndarray]":
        """What simple models say of the test split: probabilities of class 1, by their names."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A task that can tell what moved an answer; optional."""

    @staticmethod
    def explain(ask: Ask, text: str) -> Sequence[tuple[str, float]]:
        """The parts of an input that moved its answer most.

        Args:
            ask: Answers raw inputs, one row of a data frame per input.
            text: The input.

        Returns:
            Parts and by how much they raise the answer's number; the strongest first.
        """
        ...


class Task(Protocol):
    """What is tuned: the data and the model. A user of another model writes one of these.

    Constructed as ``TaskClass(dataset=…, cache_dir=…, **study.task_options)``, in the driver and
    again in every worker; the constructor must be cheap. In a worker Keras itself does without
    scikit-learn, Matplotlib and pandas (``tuning.training.keras_process``): data are arrays.
    """

    def prepare(self) -> DataInfo:
        """Makes the data ready on this machine; called once in the driver, before any worker.

        Raises:
            BadInputError: If the data cannot be had or is not what it should be.
        """
        ...

    def worker_options(self) -> Mapping[str, object]:
        """Constructor arguments for the workers' copy, known after ``prepare``.

        A ``pathlib.Path`` among them is a file or folder that workers read. An executor whose
        workers are on other machines sends it there, and tells them the path that it has there.
        """
        ...

    def load(self, split: Split) -> Mapping[str, Examples]:
        """Loads a split: ``search`` has the parts train and validation, ``test`` has test.

        Only the final evaluation asks for ``test``.
        """
        ...

    def build(self, params: Mapping[str, object]) -> "keras.Model":
        """Builds a compiled model.

        On JAX, programs that are compiled meanwhile are not optimised, since they run once, to
        draw weights. What is to run often belongs into ``load`` or the training.

        Raises:
            InfeasibleError: If these params cannot make one.
        """
        ...

    def serve(self, model_file: Path, folder: Path) -> ServedModel:
        """Writes into ``folder`` what a model of raw input needs around a trained ``.keras``."""
        ...


def import_task(path: str) -> Any:
    """Imports ``package.module:Class``.

    Raises:
        BadInputError: There is no such module or class.
    """
    module_name, _, class_name = path.partition(":")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise BadInputError(
            f"task: {path!r} cannot be imported ({error}); "
            "give it as package.module:Class, importable from the current folder"
        ) from error
