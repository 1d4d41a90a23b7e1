"""GPUs: which ones a study uses, and what each of its processes is told of its own."""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from ctypes.util import find_library
from pathlib import Path

from tuning.core.errors import BadInputError

DEVICES = Path("/dev")
# Of a GPU's memory; the rest is for what frameworks hold beside their pools.
GPU_MEMORY_SHARE = 0.9
# Tells a process that it was given a GPU; empty where it was given none.
_GIVEN = "TUNING_GPU_SHARE"


def choose_gpus(option: str, backend: str, env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Chooses the GPUs to train on, without importing a framework.

    Args:
        option: ``auto``, ``none``, or ids separated by commas, as in ``CUDA_VISIBLE_DEVICES``.
        backend: Keras backend.
        env: Environment variables.

    Returns:
        Ids; empty to train on the CPU. ``auto`` takes every GPU that this process may see, if the
        backend can use it and ``JAX_PLATFORMS`` does not keep JAX from it.

    Raises:
        BadInputError: A GPU was asked for that is not there, or that the backend cannot use.
    """
    visible = visible_gpus(env)
    if option == "auto":
        platforms = env.get("JAX_PLATFORMS", "") if backend == "jax" else ""
        kept_from = platforms and not {"cuda", "gpu"} & {*platforms.split(",")}
        return visible if can_use_gpus(backend) and not kept_from else ()
    if option == "none":
        return ()
    wanted = tuple(part.strip() for part in option.split(","))
    if missing := [gpu for gpu in wanted if gpu not in visible]:
        there = f"there are {', '.join(visible)}" if visible else "there is none here"
        raise BadInputError(
            f"gpus: auto, none, or ids such as 0,1; {', '.join(map(repr, missing))} is not a GPU "
            f"that can be seen; {there}"
        )
    if len({*wanted}) < len(wanted):
        raise BadInputError(f"gpus: each id once; got {option!r}; see --workers-per-gpu")
    if not can_use_gpus(backend):
        raise BadInputError(
            f"gpus: {backend} is installed here without CUDA; install it with (such as "
            f"pip install 'jax[cuda12]' or 'tensorflow[and-cuda]'), or pass --gpus none"
        )
    return wanted


def visible_gpus(env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Ids of the NVIDIA GPUs that this process may see."""
    if (listed := env.get("CUDA_VISIBLE_DEVICES")) is not None:
        ids = [part.strip() for part in listed.split(",")]
        # As CUDA reads it: what follows the first invalid one is ignored.
        end = next((i for i, part in enumerate(ids) if part in ("", "-1")), len(ids))
        return tuple(ids[:end])
    count = sum(path.name[6:].isdigit() for path in DEVICES.glob("nvidia*"))
    return tuple(map(str, range(count)))


def can_use_gpus(backend: str) -> bool:
    """Whether the installed backend comes with CUDA."""
    if backend == "jax":
        return any(map(_installed, ("jax_cuda12_plugin", "jax_cuda13_plugin")))
    return _installed("nvidia.cudnn") or find_library("cudnn") is not None


def gpu_environment(gpus: Sequence[str], workers_per_gpu: int = 1) -> dict[str, str]:
    """Environment variables of a process that trains on the given GPUs and no others.

    Args:
        gpus: Ids; none to keep the process on the CPU.
        workers_per_gpu: Processes that share each of them. Memory grows with what a process
            needs, and none can take the others' part.
    """
    if not gpus:
        return gpu_share_environment(0)
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus), **gpu_share_environment(1 / workers_per_gpu)}


def gpu_share_environment(share: float) -> dict[str, str]:
    """Environment variables of a process that has a share of each GPU that it may see.

    Args:
        share: Above 0; 0 keeps the process on the CPU.
    """
    if not share:
        return {_GIVEN: "", "CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    memory = f"{GPU_MEMORY_SHARE * min(share, 1):.3f}"
    return {
        _GIVEN: memory,
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": memory,
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }


def has_gpu(environment: Mapping[str, str]) -> bool:
    """Whether a process with these environment variables was given a GPU, or a share of one."""
    return bool(environment.get(_GIVEN))


def check_gpu(backend: str) -> None:
    """Makes sure that this process can use the GPU that it was given.

    A framework that cannot only warns, and trains on the CPU, ten times as long.

    Args:
        backend: The Keras backend, which is imported.

    Raises:
        RuntimeError: It cannot.
    """
    if backend == "jax":
        import jax

        found = jax.default_backend() == "gpu"
        if not found:
            jax.devices("cuda")  # raises, and says why it failed
    elif backend == "torch":
        import torch

        found = torch.cuda.is_available()
    else:
        import tensorflow

        found = bool(tensorflow.config.list_physical_devices("GPU"))
    if not found:
        raise RuntimeError(f"{backend} finds none")


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False
