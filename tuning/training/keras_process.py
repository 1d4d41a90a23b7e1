"""Keras in a training process: fast import, seeds, and memory.

Keras imports every optional package that is installed: scikit-learn for wrappers, Matplotlib for
image galleries, pandas for data frames, and TensorFlow to check the types of values. A process
that trains on arrays needs none of them. The first three take two fifths of the start time of the
process and a third of its memory.
"""

import ctypes
import gc
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tuning.training.devices import has_gpu


def import_keras() -> None:
    """Imports Keras as if scikit-learn, Matplotlib and pandas were not installed.

    During this call, imports of these packages fail in every thread, so other threads must import
    nothing. Later imports of the packages work. However, the parts of Keras that use them
    (``keras.wrappers``, image galleries, data frames as input) stay unavailable.
    """
    with _hidden("sklearn", "matplotlib", "pandas"):
        import keras  # noqa: F401


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """Prevents Keras from importing TensorFlow when it saves or loads a model.

    Keras imports TensorFlow only to check the types of values. The import takes seconds and
    hundreds of megabytes in each process. If TensorFlow is the backend, nothing changes.
    """
    import keras

    with _hidden(*([] if keras.backend.backend() == "tensorflow" else ["tensorflow"])):
        yield


@contextmanager
def _hidden(*packages: str) -> Iterator[None]:
    """Makes imports of these packages fail, unless they are imported already."""
    missing = [package for package in packages if package not in sys.modules]
    sys.modules.update(dict.fromkeys(missing))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for package in missing:
            if sys.modules.get(package) is None:
                sys.modules.pop(package, None)


# JAX option that turns most optimisations of the compiler off.
JAX_NO_OPTIMISATION = "jax_disable_most_optimizations"


def set_seed(seed: int) -> None:
    """Seeds initialisation, shuffling and dropout, and frees the state of earlier models.

    On JAX this has the effect of ``keras.utils.set_random_seed`` without its import of TensorFlow,
    which takes seconds and hundreds of megabytes in every worker.

    Args:
        seed: Seed of all random generators.
    """
    import keras
    import numpy as np

    keras.utils.clear_session()
    if keras.backend.backend() == "jax":
        random.seed(seed)
        np.random.seed(seed)
    else:
        keras.utils.set_random_seed(seed)


def free_memory() -> None:
    """Frees the models and compiled programs of earlier trials.

    JAX keeps a compiled program for every shape; a small LSTM took 36 MB per trial.
    """
    import keras

    keras.utils.clear_session()
    gc.collect()
    if keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()
        gc.collect()
    give_freed_memory_back()


@contextmanager
def without_autologging() -> Iterator[None]:
    """Switches off MLflow's autologging, which a task may have switched on.

    Otherwise every ``fit`` would open a run of its own in the user's store.
    """
    mlflow = sys.modules.get("mlflow.utils.autologging_utils")
    if mlflow is None:
        yield
        return
    with mlflow.disable_autologging():
        yield


@contextmanager
def quick_to_compile() -> Iterator[None]:
    """Makes JAX compile without optimisations, for programs that run once, such as initialisers.

    A model with new shapes is built in half the time, and its weights change by a rounding error.
    The option applies to the whole process, so no other thread may compile during this time.
    """
    import keras

    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    previous = jax.config.values.get(JAX_NO_OPTIMISATION, False)
    jax.config.update(JAX_NO_OPTIMISATION, True)
    try:
        yield
    finally:
        jax.config.update(JAX_NO_OPTIMISATION, previous)


def keep_freed_memory() -> None:
    """Makes glibc keep freed memory and use it again, instead of returning it to the kernel.

    Call this before the process starts threads, because running threads keep their arenas.

    A training step takes some hundred megabytes and frees them. By default the kernel maps each
    block again and fills it with zeros, which took a third of the training time of an LSTM.

    Nothing changes in a process with a GPU. Its blocks are on the GPU, and XLA compiles for a GPU
    with one thread per core; these threads would all wait for the single arena.
    """
    if has_gpu(os.environ):
        return
    with suppress(OSError, AttributeError):
        mallopt = _libc().mallopt
        # The options are numbers from glibc's malloc.h; see mallopt(3).
        mallopt(-8, 1)  # M_ARENA_MAX
        mallopt(-4, 0)  # M_MMAP_MAX
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the largest value


def give_freed_memory_back() -> None:
    """Returns the memory that is free now to the kernel."""
    with suppress(OSError, AttributeError):
        _libc().malloc_trim(0)


def _libc() -> Any:
    if sys.platform != "linux":
        raise OSError(f"glibc is not available on {sys.platform}")
    return ctypes.CDLL("libc.so.6")
