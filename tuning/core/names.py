"""Names and values that MLflow can store."""

import hashlib
import posixpath
import re

MAX_NAME = (
    200  # of MLflow's 250 characters; the rest is for prefixes such as ``val_`` and ``best_``
)
_NAME = re.compile(r"[^\W\d][\w\-]*(?:[ /][\w\-]+)*")
MAX_VALUE = 6_000  # MLflow's limit for the text of a parameter


def storable_metric(name: str) -> str:
    """Returns the name under which a metric of Keras is stored.

    MLflow refuses some characters, names that are paths to elsewhere, and long names. Most names
    stay as they are.
    """
    stored = re.sub(r"[^\w.\-/ ]", "_", name)
    if posixpath.normpath(stored) != stored or stored.startswith(("/", "..")) or stored == ".":
        stored = stored.replace("/", "_").replace("..", "__").strip(".") or "_"
    if len(stored) > MAX_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        stored = f"{stored[: MAX_NAME - len(digest) - 1]}_{digest}"
    return stored


def check_hyperparameter(name: str, value: object = None) -> None:
    """Refuses a hyperparameter that Python or MLflow cannot name, or whose value is too long.

    Raises:
        ValueError: The name or the value cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a name: letters, digits, _, -, / and blanks, a letter or _ first"
        )
    if len(name) > MAX_NAME:
        raise ValueError(f"the name {name[:20]}… has {len(name)} characters; at most {MAX_NAME}")
    if len(str(value)) > MAX_VALUE:
        raise ValueError(
            f"a value of {name} has {len(str(value))} characters as text, and MLflow stores at "
            f"most {MAX_VALUE}; give it a short name and translate that in build"
        )
