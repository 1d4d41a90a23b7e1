"""What a training needs to go on as if it had never stopped, in one file without code in it."""

import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core.trial import Measurement

if TYPE_CHECKING:
    import keras
    import numpy as np

CHECKPOINT = "checkpoint.npz"
# What a training may spend on its checkpoints; so that epochs of milliseconds stay that short.
CHECKPOINT_TIME_SHARE = 0.05

_Array = Any


class CheckpointError(Exception):
    """The file is torn, or belongs to another model."""


@dataclass
class TrainingProgress:
    """How far a training has come.

    Attributes:
        measurements: Every finished epoch, in order.
        best_value: The objective at the best of them.
        best_step: That epoch.
        best_weights: The model's weights after it.
        inherited: How many of its epochs another trial has trained, of which this one is the
            continuation.
        resumed_from: Python's and NumPy's random numbers as they were after the last epoch, if the
            progress was read from a checkpoint.
    """

    measurements: list[Measurement] = field(default_factory=list)
    best_value: float | None = None
    best_step: int | None = None
    best_weights: "Sequence[np.ndarray[Any, Any]]" = ()
    inherited: int = 0
    resumed_from: tuple[Any, Any] | None = None

    @property
    def last_step(self) -> int:
        """The last finished epoch; 0 before the first."""
        return self.measurements[-1].step if self.measurements else 0

    @property
    def elapsed_s(self) -> float:
        """Seconds of training until then."""
        return self.measurements[-1].elapsed_s if self.measurements else 0.0

    @property
    def own_seconds(self) -> float:
        """Seconds of training that are this trial's own."""
        before = self.measurements[self.inherited - 1].elapsed_s if self.inherited else 0.0
        return self.elapsed_s - before

    def restore_random(self) -> None:
        """Goes on with the random numbers of the interrupted training.

        To be called when the first epoch begins and no sooner: ``fit`` draws some to build itself.
        """
        import numpy as np

        if self.resumed_from is not None:
            python, numpy = self.resumed_from
            random.setstate(python)
            np.random.set_state(numpy)
            self.resumed_from = None


class Checkpointer:
    """Writes the checkpoint of one training, often enough but not for more than a share of it.

    Args:
        file: Replaced at every writing, in one step.
        identity: Of the training: its params and seed.
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
        """Writes the state after the last epoch, unless it is there or costs too much now."""
        now = time.monotonic()
        affordable = self._spent <= CHECKPOINT_TIME_SHARE * (now - self._started)
        if progress.last_step == self._step or not (affordable or force):
            return
        save(self._file, model, progress, self._identity)
        self._step = progress.last_step
        self._spent += time.monotonic() - now


def save(
    file: Path,
    model: "keras.Model",
    progress: TrainingProgress,
    identity: Mapping[str, Any] | None = None,
) -> None:
    """Writes a checkpoint; a reader sees the former one or this one, never a part."""
    import numpy as np

    arrays: dict[str, _Array] = {}
    for kind, variables in _variables(model).items():
        arrays |= {f"{kind}{i}": _numpy(v) for i, v in enumerate(variables)}
    arrays |= {f"best{i}": array for i, array in enumerate(progress.best_weights)}
    version, state, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    arrays["numpy_keys"] = keys
    head = {
        "measurements": [
            {"step": m.step, "metrics": dict(m.metrics), "elapsed_s": m.elapsed_s}
            for m in progress.measurements
        ],
        "identity": identity,
        "best_value": progress.best_value,
        "best_step": progress.best_step,
        "inherited": progress.inherited,
        "python_random": [version, list(state), gauss],
        "numpy_random": [name, position, has_gauss, cached],
    }
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), "u1")
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with part.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def load(
    file: Path, model: "keras.Model", identity: Mapping[str, Any] | None = None
) -> TrainingProgress:
    """Gives a built and compiled model the state of a checkpoint.

    Args:
        file: The checkpoint.
        model: Of the same architecture and optimizer.
        identity: Refuses the checkpoint of another training; None takes any.

    Returns:
        The progress so far.

    Raises:
        CheckpointError: The file is torn or of another model, which is left as it was.
    """
    import numpy as np

    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        head = json.loads(arrays.pop("head").tobytes())
        if identity is not None and head["identity"] != json.loads(json.dumps(identity)):
            raise ValueError(f"it is of another training: {head['identity']}")
        version, state, gauss = head["python_random"]
        name, position, has_gauss, cached = head["numpy_random"]
        progress = TrainingProgress(
            [Measurement(**measurement) for measurement in head["measurements"]],
            head["best_value"],
            head["best_step"],
            _numbered(arrays, "best"),
            head["inherited"],
            (
                (version, tuple(state), gauss),
                (name, arrays["numpy_keys"], position, has_gauss, cached),
            ),
        )
        values = {
            kind: _fitting(variables, _numbered(arrays, kind))
            for kind, variables in _variables(model).items()
        }
    except Exception as error:  # a torn file can fail anywhere
        raise CheckpointError(f"{file}: {type(error).__name__}: {error}") from error
    for kind, variables in _variables(model).items():
        for variable, value in zip(variables, values[kind], strict=True):
            variable.assign(value)
    return progress


def _variables(model: "keras.Model") -> Mapping[str, Sequence[Any]]:
    # The optimizer's do not exist before the first step otherwise.
    model.optimizer.build(model.trainable_variables)
    # Not the weights alone: the states of dropout's random numbers are variables too.
    return {"model": model.variables, "optimizer": model.optimizer.variables}


def _numpy(variable: Any) -> _Array:
    import keras

    return keras.ops.convert_to_numpy(variable)


def _numbered(arrays: Mapping[str, _Array], kind: str) -> list[_Array]:
    count = sum(name.startswith(kind) for name in arrays)
    return [arrays[f"{kind}{i}"] for i in range(count)]


def _fitting(variables: Sequence[Any], arrays: Sequence[_Array]) -> list[_Array]:
    """The arrays in the types of the variables.

    Raises:
        ValueError: They are of another model.
    """
    fitted = []
    for variable, array in zip(variables, arrays, strict=True):
        current = _numpy(variable)
        # NumPy stores types that it does not know, such as bfloat16, as bare bytes.
        value = array.view(current.dtype) if array.dtype.kind == "V" else array
        if value.shape != current.shape or value.dtype != current.dtype:
            raise ValueError(f"{value.dtype}{value.shape} is not {current.dtype}{current.shape}")
        fitted.append(value)
    return fitted
