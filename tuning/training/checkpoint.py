"""Checkpoints: the complete state of a training in one file, which contains no code."""

import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core.trial import Measurement
from tuning.training.callback_states import Counters

if TYPE_CHECKING:
    import keras
    import numpy as np

# Name of the file in the folder of a trial.
CHECKPOINT = "checkpoint.npz"
# Largest share of the training time that checkpoints may take, so that short epochs stay short.
CHECKPOINT_TIME_SHARE = 0.05

_Array = Any


class CheckpointError(Exception):
    """A checkpoint is damaged or missing, or it belongs to another model or training."""


@dataclass
class TrainingProgress:
    """Progress of a training.

    Attributes:
        measurements: Measurements of all finished epochs, in order.
        best_value: Objective at the best epoch; None before the first epoch.
        best_step: Number of the best epoch, from 1; None before the first epoch.
        best_weights: Weights of the model after the best epoch.
        inherited: Number of epochs at the beginning that another trial has trained, from whose
            checkpoint this trial resumed.
        resumed_from: States of the random generators of Python and NumPy after the last epoch of
            the checkpoint; None if the training did not resume, or once the states are restored.
        callbacks: Counters of the task's callbacks after the last finished epoch.
        ended: Whether a callback of the task had ended the training.
    """

    measurements: list[Measurement] = field(default_factory=list)
    best_value: float | None = None
    best_step: int | None = None
    best_weights: "Sequence[np.ndarray[Any, Any]]" = ()
    inherited: int = 0
    resumed_from: tuple[Any, Any] | None = None
    callbacks: list[Counters] = field(default_factory=list)
    ended: bool = False

    @property
    def last_step(self) -> int:
        """Number of the last finished epoch; 0 before the first."""
        return self.measurements[-1].step if self.measurements else 0

    @property
    def elapsed_s(self) -> float:
        """Seconds of training until the end of the last finished epoch."""
        return self.measurements[-1].elapsed_s if self.measurements else 0.0

    @property
    def own_seconds(self) -> float:
        """Seconds of training without the inherited epochs."""
        inherited_s = self.measurements[self.inherited - 1].elapsed_s if self.inherited else 0.0
        return self.elapsed_s - inherited_s

    def restore_random(self) -> None:
        """Restores the random generators, so that the resumed training draws the same numbers.

        Call this at the beginning of the first epoch, because ``fit`` draws random numbers before.
        """
        import numpy as np

        if self.resumed_from is not None:
            python, numpy = self.resumed_from
            random.setstate(python)
            np.random.set_state(numpy)
            self.resumed_from = None


class Checkpointer:
    """Writer of the checkpoints of one training, limited to a share of the training time.

    Args:
        file: Path of the checkpoint; each writing replaces the file in one step.
        identity: Values that identify the training, such as its params and seed; stored in the
            checkpoint.
    """

    def __init__(self, file: Path, identity: Mapping[str, Any] | None = None) -> None:
        self._file = file
        self._identity = identity
        self._started = time.monotonic()
        self._spent = 0.0
        self._step = 0

    def write(
        self, model: "keras.Model", progress: TrainingProgress, *, force: bool = False
    ) -> None:
        """Writes the state after the last epoch, unless it is written or takes too much time.

        Args:
            model: Model after the last epoch.
            progress: Progress until the last epoch.
            force: Whether to ignore the limit of the time share.
        """
        now = time.monotonic()
        affordable = self._spent <= CHECKPOINT_TIME_SHARE * (now - self._started)
        if progress.last_step == self._step or not (affordable or force):
            return
        self._save(model, progress)
        self._step = progress.last_step
        self._spent += time.monotonic() - now

    def _save(self, model: "keras.Model", progress: TrainingProgress) -> None:
        """Writes a checkpoint in one step: a reader sees the old file or the complete new file."""
        import numpy as np

        arrays: dict[str, _Array] = {}
        for kind, variables in _variables(model).items():
            arrays |= {f"{kind}{i}": _numpy(v) for i, v in enumerate(variables)}
        arrays |= {f"best{i}": array for i, array in enumerate(progress.best_weights)}
        name, arrays["numpy_keys"], *numbers = np.random.get_state(legacy=True)
        head = {
            "measurements": [asdict(measurement) for measurement in progress.measurements],
            "identity": self._identity,
            "best_value": progress.best_value,
            "best_step": progress.best_step,
            "inherited": progress.inherited,
            "callbacks": progress.callbacks,
            "ended": progress.ended,
            "python_random": random.getstate(),
            "numpy_random": [name, *numbers],
        }
        arrays["head"] = np.frombuffer(json.dumps(head).encode(), "u1")
        part = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        try:
            with part.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **arrays)
            part.replace(self._file)
        finally:
            part.unlink(missing_ok=True)


def load(
    file: Path, model: "keras.Model", identity: Mapping[str, Any] | None = None
) -> TrainingProgress:
    """Loads the state of a checkpoint into a built and compiled model.

    Args:
        file: Path of the checkpoint.
        model: Model with the same architecture and optimizer.
        identity: Identity that the checkpoint must have; None accepts every checkpoint.

    Returns:
        Progress of the training until the checkpoint.

    Raises:
        CheckpointError: The file is missing or damaged, or it belongs to another model or
            training. The model does not change.
    """
    import numpy as np

    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        head = json.loads(arrays.pop("head").tobytes())
        if identity is not None and head["identity"] != json.loads(json.dumps(identity)):
            raise ValueError(f"it belongs to another training: {head['identity']}")
        version, state, gauss = head["python_random"]
        name, *numbers = head["numpy_random"]
        progress = TrainingProgress(
            [Measurement(**measurement) for measurement in head["measurements"]],
            head["best_value"],
            head["best_step"],
            _numbered(arrays, "best"),
            head["inherited"],
            ((version, tuple(state), gauss), (name, arrays["numpy_keys"], *numbers)),
            head.get("callbacks", []),
            head.get("ended", False),
        )
        variables = _variables(model)
        values = {kind: _fitting(variables[kind], _numbered(arrays, kind)) for kind in variables}
    except Exception as error:  # a damaged file can fail at any step
        raise CheckpointError(f"{file}: {type(error).__name__}: {error}") from error
    for kind in variables:
        for variable, value in zip(variables[kind], values[kind], strict=True):
            variable.assign(value)
    return progress


def _variables(model: "keras.Model") -> Mapping[str, Sequence[Any]]:
    # Without build, the variables of the optimizer do not exist before the first training step.
    model.optimizer.build(model.trainable_variables)
    # Not only the weights: the states of dropout's random generators are variables too.
    return {"model": model.variables, "optimizer": model.optimizer.variables}


def _numpy(variable: Any) -> _Array:
    import keras

    return keras.ops.convert_to_numpy(variable)


def _numbered(arrays: Mapping[str, _Array], kind: str) -> list[_Array]:
    count = sum(name.startswith(kind) for name in arrays)
    return [arrays[f"{kind}{i}"] for i in range(count)]


def _fitting(variables: Sequence[Any], arrays: Sequence[_Array]) -> list[_Array]:
    """Returns the arrays with the data types of the variables.

    Raises:
        ValueError: Number, shape or data type of the arrays differ from the variables.
    """
    values = []
    for variable, array in zip(variables, arrays, strict=True):
        current = _numpy(variable)
        # NumPy stores data types that it does not know, such as bfloat16, as raw bytes.
        value = array.view(current.dtype) if array.dtype.kind == "V" else array
        if value.shape != current.shape or value.dtype != current.dtype:
            raise ValueError(f"{value.dtype}{value.shape} is not {current.dtype}{current.shape}")
        values.append(value)
    return values
