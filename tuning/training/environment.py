"""Environment variables of a process that trains: threads, backend and compile cache."""


def thread_environment(backend: str, cache_dir: str) -> dict[str, str]:
    """Environment variables that hold a process to one thread on the given Keras backend."""
    one = dict.fromkeys(
        (
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "MKL_NUM_THREADS",
            "TF_NUM_INTRAOP_THREADS",
            "TF_NUM_INTEROP_THREADS",
        ),
        "1",
    )
    return one | backend_environment(backend, cache_dir)


def backend_environment(backend: str, cache_dir: str) -> dict[str, str]:
    """Environment variables that choose the Keras backend and quieten it."""
    variables = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if cache_dir:
        # Confirmation trains the shapes of the search again, and a new worker those of the last.
        variables["JAX_COMPILATION_CACHE_DIR"] = cache_dir
        variables["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.02"
    return variables
