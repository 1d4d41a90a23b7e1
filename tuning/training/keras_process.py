"""Keras in a process that trains: imported without what it does not need, seeded, and tidied.

Keras takes whatever is installed: scikit-learn for its wrappers, Matplotlib for galleries of
images, pandas for data frames, TensorFlow to ask whether a value is one of its own. A process that
trains on arrays needs none of them; the first three are two fifths of its start and a third of its
memory.
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
    """Imports Keras as if only its backend were installed.

    While this runs, imports of the others fail in every thread, so it is for a process whose other
    threads import nothing. Before and after it, everything is found; but what Keras itself does
    with them (``keras.wrappers``, image galleries, data frames as input) is missing afterwards.
    """
    with _hidden("sklearn", "matplotlib", "pandas"):
        import keras  # noqa: F401


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """Keeps Keras on JAX from importing TensorFlow just to ask whether a value is one of its own.

    It does so in every save and load, at the price of seconds and hundreds of megabytes in each
    process. Where TensorFlow is the backend nothing changes.
    """
    import keras

    with _hidden(*([] if keras.backend.backend() == "tensorflow" else ["tensorflow"])):
        yield


@contextmanager
def _hidden(*packages: str) -> Iterator[None]:
    """Lets an import of these packages fail, where they are not imported already."""
    missing = [package for package in packages if package not in sys.modules]
    sys.modules.update(dict.fromkeys(missing))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for package in missing:
            if sys.modules.get(package) is None:
                sys.modules.pop(package, None)


# JAX's option.
JAX_NO_OPTIMISATION = "jax_disable_most_optimizations"


def set_seed(seed: int) -> None:
    """Seeds initialisation, shuffling and dropout, and frees what an earlier model left behind.

    On JAX the same as ``keras.utils.set_random_seed``, which would import TensorFlow just to seed
    that too: seconds and hundreds of megabytes in every worker.
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
    """Frees models and compiled programs of the trials before.

    JAX keeps a program for every shape it has met: 36 MB a trial were measured on a small LSTM.
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
def quick_to_compile() -> Iterator[None]:
    """Has JAX compile without optimisations what runs but once: the programs that draw weights.

    Building a model of new shapes takes half as long, and its weights move by a rounding error.
    The option is the whole process's, so this is not for one whose other threads compile.
    """
    import keras

    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    before = jax.config.values.get(JAX_NO_OPTIMISATION, False)
    jax.config.update(JAX_NO_OPTIMISATION, True)
    try:
        yield
    finally:
        jax.config.update(JAX_NO_OPTIMISATION, before)


# From glibc's malloc.h; see mallopt(3).
_M_TRIM_THRESHOLD = -1


_M_MMAP_MAX = -4


_M_ARENA_MAX = -8


_LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Lets large blocks be used again; best called before the process has threads.

    Threads that there are keep the arenas that they have.

    A training step takes some hundred megabytes and frees them. By default each block is mapped
    anew, and to have the kernel zero its pages again cost a third of an LSTM's training time.

    A process with a GPU is left as it is: its blocks are on the GPU, and to compile for one XLA
    starts a thread a core, which would all wait for the one arena.
    """
    if has_gpu(os.environ):
        return
    with suppress(OSError, AttributeError):
        mallopt = _libc().mallopt
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST)


def give_freed_memory_back() -> None:
    """Returns to the kernel what is free now."""
    with suppress(OSError, AttributeError):
        _libc().malloc_trim(0)


def _libc() -> Any:
    if sys.platform != "linux":
        raise OSError("there is no glibc")
    return ctypes.CDLL("libc.so.6")
