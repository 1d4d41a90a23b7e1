"""Environment variables of a training process: threads, backend and compile cache."""

# The backend of a study that trains without Keras.
NO_BACKEND = "none"


def thread_environment(backend: str, cache_dir: str) -> dict[str, str]:
    """Returns the environment variables that limit a process to one thread.

    Args:
        backend: Keras backend.
        cache_dir: Folder of compiled programs; empty for no cache.
    """
    threads = dict.fromkeys(
        (
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "MKL_NUM_THREADS",
            "TF_NUM_INTRAOP_THREADS",
            "TF_NUM_INTEROP_THREADS",
        ),
        "1",
    )
    return threads | backend_environment(backend, cache_dir)


def backend_environment(backend: str, cache_dir: str) -> dict[str, str]:
    """Returns the environment variables that select the Keras backend and reduce its log output.

    Args:
        backend: Keras backend.
        cache_dir: Folder of compiled programs; empty for no cache.
    """
    variables = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if backend != NO_BACKEND:
        variables["KERAS_BACKEND"] = backend
    if cache_dir:
        # Confirmation and replaced workers compile programs that the search has compiled before.
        variables["JAX_COMPILATION_CACHE_DIR"] = cache_dir
        variables["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.02"
    return variables
