"""Keras without the packages that it imports for users other than ours.

Keras takes whatever is installed: scikit-learn for its wrappers, Matplotlib for galleries of
images, pandas for data frames, TensorFlow to ask whether a value is one of its own. A process that
trains on arrays needs none of them; the first three are two fifths of its start and a third of its
memory.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
