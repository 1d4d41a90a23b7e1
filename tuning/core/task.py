"""The protocol of a user's task: data, model, and optional extras."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from tuning.core.forms import ServedModel

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
        test_digest: Hexadecimal digest of the test rows that are judged, which is the same with
            any preprocessing: of their raw inputs and labels. Empty to take the digest of the test
            part as ``load`` returns it; then other preprocessing makes other rows.
        sizes: Number of examples by split.
        classes: Names of the classes, labels or targets, in the order of their numbers; empty for
            no names. Labels may be these texts instead of numbers.
        stand_in: Whether the data only stand in for the real ones, such as generated examples.
            Their models are registered under a separate name.
        warning: Sentence that is shown prominently; empty for no warning.
        cannot_serve: Reason why no model can be registered; empty if one can.
    """

    label: str
    name: str
    source: str
    digest: str
    sizes: Mapping[str, int]
    classes: Sequence[str] = ()
    test_digest: str = ""
    stand_in: bool = False
    warning: str = ""
    cannot_serve: str = ""

    def has_test_rows_of(self, other: "DataInfo") -> bool:
        """Returns whether models of both data were judged on the same test rows."""
        if self.test_digest and other.test_digest:
            return self.test_digest == other.test_digest
        return self.digest == other.digest  # records of 0.1


Split = Literal["search", "test"]


# Inputs and labels, perhaps with weights: arrays, or mappings and tuples of arrays.
Examples = tuple[Any, Any] | tuple[Any, Any, Any]


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
class HasTimes(Protocol):
    """A task whose rows have an order in time (optional).

    Then the parts follow each other in time, and intervals allow for rows that depend on their
    neighbours. Rows of the same time are taken together.
    """

    def times(self, part: str) -> "np.ndarray | None":
        """Returns the time of each row of a part: numbers, or NumPy's dates.

        If the signature has ``params``, it gets the hyperparameters too.

        Returns:
            Times of shape (rows,), or the first and the last time that the targets of each row
            cover, of shape (rows, 2); None if the rows have no times.
        """
        ...


@runtime_checkable
class HasGroups(Protocol):
    """A task whose rows belong to groups, such as patients, that depend on each other (optional).

    Then no group stands in two parts, and intervals allow for rows of one group.
    """

    def groups(self, part: str) -> "np.ndarray | None":
        """Returns the group of each row of a part, of shape (rows,): numbers or texts.

        If the signature has ``params``, it gets the hyperparameters too.

        Returns:
            The groups; None if the rows have none.
        """
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
        """Returns predictions of the test split, by name of the simple model.

        They have the form that ``tuning.metrics.metric.Metric`` describes: probabilities or
        numbers.
        """
        ...


@runtime_checkable
class Prepares(Protocol):
    """A task that prepares its data once, and describes them (optional)."""

    def prepare(self) -> DataInfo:
        """Prepares the data on this machine; called once in the driver, before any worker starts.

        Raises:
            BadInputError: The data cannot be loaded, or they are not valid.
        """
        ...


@runtime_checkable
class HasWorkerOptions(Protocol):
    """A task that gives its copies in the workers further arguments (optional)."""

    def worker_options(self) -> Mapping[str, object]:
        """Returns further constructor arguments for the workers; called after ``prepare``.

        A ``pathlib.Path`` among the values is a file or folder that workers read. An executor with
        workers on other machines copies it to them and passes the path of the copy.
        """
        ...


@runtime_checkable
class HasCode(Protocol):
    """A task whose code stands in no file that is imported (optional)."""

    def code_digests(self) -> Mapping[str, str]:
        """Returns digests of the code, by names that users understand."""
        ...


@runtime_checkable
class HasCallbacks(Protocol):
    """A task with Keras callbacks of its own (optional)."""

    def callbacks(self, params: Mapping[str, object]) -> "Sequence[keras.callbacks.Callback]":
        """Returns new callbacks for one training; they run before those of the study.

        Their attributes that are plain values, such as the number of epochs without improvement,
        are kept in checkpoints, so that a resumed training goes on with them.
        """
        ...


@runtime_checkable
class Fits(Protocol):
    """A task that trains its models itself (optional)."""

    def fit(
        self,
        model: "keras.Model",
        params: Mapping[str, object],
        data: Mapping[str, Any],
        callbacks: "Sequence[keras.callbacks.Callback]",
    ) -> object:
        """Trains a model; must pass the callbacks to ``model.fit``, which end the training.

        If the signature has ``epochs`` or ``initial_epoch``, they are passed too: the number of
        the last epoch, and the number of epochs that an interrupted training has finished.

        Args:
            model: Compiled model from ``build``.
            params: Hyperparameters of the trial.
            data: The parts ``train`` and ``validation``, as ``load`` returns them.
            callbacks: Callbacks that report every epoch.
        """
        ...


@runtime_checkable
class Trains(Protocol):
    """A task that trains models of any framework itself (instead of ``load`` and ``build``)."""

    def train(
        self, params: Mapping[str, object], seed: int, report: Callable[..., None]
    ) -> Mapping[str, Any]:
        """Trains a model and predicts with it.

        Args:
            params: Hyperparameters of the trial.
            seed: Seed for everything random.
            report: Function ``report(value, **metrics)``, to be called after every step of the
                training with the objective on validation rows; it may end the training.

        Returns:
            ``validation`` and ``test``, each a pair of truth and predictions, or a number per
            example for the metrics ``mean_score`` and ``mean_cost``.
        """
        ...


@runtime_checkable
class Serves(Protocol):
    """A task whose models answer raw input (optional)."""

    def serve(self, model_file: Path, folder: Path) -> ServedModel:
        """Writes the files into ``folder`` that a raw-input model needs besides ``model_file``.

        If the signature has ``params`` or ``cut``, they are those of the model's training.
        """
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

    Only ``load`` and ``build`` are required. The other protocols of this module are optional; each
    is asked for by itself.

    The driver and every worker call ``TaskClass(**study.task_options)``, so the constructor must
    be cheap. It also gets ``dataset`` and ``cache_dir`` if it has parameters of these names.
    Workers import Keras without its support for scikit-learn, Matplotlib and pandas
    (``tuning.training.keras_process``).
    """

    def load(self, split: Split) -> Mapping[str, Any]:
        """Loads a split: ``search`` has the parts train and validation, ``test`` has test.

        Each part is a pair of inputs and labels, a triple with a weight per example, or a data set
        (``keras.utils.PyDataset``, ``tf.data.Dataset``, PyTorch's ``DataLoader``). Inputs and
        labels are arrays, also memory-mapped ones, or mappings and tuples of arrays.

        If the signature has ``params``, it gets the hyperparameters too. The data are then loaded
        once per distinct value of the hyperparameters that it reads, and all workers of a machine
        share them.

        If the signature has ``cut``, with the default None, a study that gives each fresh seed
        other training rows passes a ``tuning.data.cuts.Cut`` with ``search``; its method ``rows``
        tells which rows are train and which validation. So preprocessing can be fitted on these
        training rows. Without ``cut``, the rows that were loaded are cut anew.

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
