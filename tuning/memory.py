"""Tells the C library what to do with freed memory; nothing happens where it is not glibc."""

import ctypes
import os
import sys
from contextlib import suppress
from typing import Any

from tuning.devices import has_gpu

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
