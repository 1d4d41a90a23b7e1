"""Drop-ins for code that exists: scripts of KerasTuner and of Optuna."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name not in ("keras_tuner", "optuna"):
        raise AttributeError(f"module 'tuning.integrations' has no attribute {name!r}")
    return importlib.import_module(f"tuning.integrations.{name}")
