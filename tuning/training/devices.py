"""GPUs: the choice of GPUs for a study, and the environment variables of its processes."""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from ctypes.util import find_library
from pathlib import Path

from tuning.core.errors import BadInputError

# Folder of the device files.
DEVICES = Path("/dev")
# Share of a GPU's memory for the memory pools; frameworks need the rest outside their pools.
GPU_MEMORY_SHARE = 0.9
# Environment variable with a process's share of GPU memory; empty for a process without a GPU.
_GPU_SHARE = "TUNING_GPU_SHARE"


def choose_gpus(option: str, backend: str, env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Chooses the GPUs to train on, without importing a framework.

    Args:
        option: Choice of the user: ``auto``, ``none``, or ids separated by commas, as in
            ``CUDA_VISIBLE_DEVICES``.
        backend: Keras backend.
        env: Environment variables of this process.

    Returns:
        Ids of the GPUs; empty to train on the CPU. ``auto`` takes every GPU that this process may
        see, if the backend can use it and ``JAX_PLATFORMS`` does not exclude GPUs.

    Raises:
        BadInputError: The option names a GPU that this process cannot see, names a GPU twice, or
            names a GPU although the backend cannot use GPUs.
    """
    visible = visible_gpus(env)
    if option == "auto":
        platforms = env.get("JAX_PLATFORMS", "") if backend == "jax" else ""
        excluded = platforms and not {"cuda", "gpu"} & {*platforms.split(",")}
        return visible if can_use_gpus(backend) and not excluded else ()
    if option == "none":
        return ()
    chosen = tuple(part.strip() for part in option.split(","))
    if missing := [gpu for gpu in chosen if gpu not in visible]:
        ids = f"the visible GPUs are {', '.join(visible)}" if visible else "no GPU is visible"
        raise BadInputError(
            "gpus: auto, none, or ids such as 0,1; no visible GPU has the id "
            f"{', '.join(map(repr, missing))}; {ids}"
        )
    if len({*chosen}) < len(chosen):
        raise BadInputError(
            f"gpus: each id once; got {option!r}; to train several trials per GPU, set "
            "resources.workers_per_gpu"
        )
    if not can_use_gpus(backend):
        raise BadInputError(
            f"gpus: {backend} is installed here without CUDA; install it with CUDA (such as "
            f"pip install 'jax[cuda12]' or 'tensorflow[and-cuda]'), or pass --gpus none"
        )
    return chosen


def visible_gpus(env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Returns the ids of the NVIDIA GPUs that this process may see."""
    if (listed := env.get("CUDA_VISIBLE_DEVICES")) is not None:
        ids = [part.strip() for part in listed.split(",")]
        # CUDA ignores the first invalid id and all ids after it.
        end = next((i for i, part in enumerate(ids) if part in ("", "-1")), len(ids))
        return tuple(ids[:end])
    count = sum(path.name[6:].isdigit() for path in DEVICES.glob("nvidia*"))
    return tuple(map(str, range(count)))


def can_use_gpus(backend: str) -> bool:
    """Returns whether the installed backend can use CUDA."""
    if backend == "jax":
        return any(map(_installed, ("jax_cuda12_plugin", "jax_cuda13_plugin")))
    return _installed("nvidia.cudnn") or find_library("cudnn") is not None


def gpu_environment(gpus: Sequence[str], workers_per_gpu: int = 1) -> dict[str, str]:
    """Returns the environment variables of a process that trains only on the given GPUs.

    Args:
        gpus: Ids of the GPUs; empty to train on the CPU.
        workers_per_gpu: Number of processes that share each GPU. A process takes GPU memory as it
            needs it, and at most an equal share.
    """
    if not gpus:
        return gpu_share_environment(0)
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus), **gpu_share_environment(1 / workers_per_gpu)}


def gpu_share_environment(share: float) -> dict[str, str]:
    """Returns the environment variables of a process that has a share of its visible GPUs.

    Args:
        share: Share of each GPU, where 1 or more is a whole GPU; 0 to train on the CPU.
    """
    if not share:
        return {_GPU_SHARE: "", "CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    memory = f"{GPU_MEMORY_SHARE * min(share, 1):.3f}"
    return {
        _GPU_SHARE: memory,
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": memory,
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }


def has_gpu(environment: Mapping[str, str]) -> bool:
    """Returns whether these environment variables give a process a GPU or a share of a GPU."""
    return bool(environment.get(_GPU_SHARE))


def check_gpu(backend: str) -> None:
    """Makes sure that the backend can use a GPU in this process.

    A framework that cannot use the GPU only logs a warning and trains on the CPU, which takes ten
    times as long.

    Args:
        backend: Keras backend, which this function imports.

    Raises:
        RuntimeError: The backend cannot use a GPU.
    """
    if backend == "jax":
        import jax

        usable = jax.default_backend() == "gpu"
        if not usable:
            jax.devices("cuda")  # raises an error with the cause
    elif backend == "torch":
        import torch

        usable = torch.cuda.is_available()
    else:
        import tensorflow

        usable = bool(tensorflow.config.list_physical_devices("GPU"))
    if not usable:
        raise RuntimeError(f"{backend} finds no GPU")


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the parent package is missing
        return False
