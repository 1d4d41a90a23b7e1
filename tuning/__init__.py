"""Tunes Keras models with Optuna and KerasTuner, and compares them honestly.

MLflow keeps the record; the best model is promoted only if it is really better::

    result = tuning.tune(build, data=(x, y), metric="rmse", trials=20)
"""

import importlib
from typing import TYPE_CHECKING, Any

from tuning.core.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from tuning.api.any_framework import confirm
    from tuning.api.judge import Judgement, judge
    from tuning.api.loading import load_study
    from tuning.api.result import StudyResult
    from tuning.api.tuner import tune
    from tuning.core.errors import (
        BadInputError,
        FatalTrialError,
        InfeasibleError,
        InterruptedStudyError,
        PromotionRefusedError,
        StudyFailedError,
        TuningError,
    )
    from tuning.core.task import DataInfo, Task
    from tuning.data.cuts import Cut
    from tuning.data.forecast_table import ForecastTable
    from tuning.data.windows import Windows, table_windows, windows
    from tuning.metrics.metric import Metric
    from tuning.registry.forecasts import served_forecast
    from tuning.study.file import Study
    from tuning.study.ranges import Choice, Float, Int
    from tuning.study.sections import GateRule

# Public name to its module. They are imported when they are used, so that the command line is
# quick.
_PUBLIC = {
    "tune": "tuning.api.tuner",
    "StudyResult": "tuning.api.result",
    "load_study": "tuning.api.loading",
    "confirm": "tuning.api.any_framework",
    "judge": "tuning.api.judge",
    "Judgement": "tuning.api.judge",
    "Study": "tuning.study.file",
    "Int": "tuning.study.ranges",
    "Float": "tuning.study.ranges",
    "Choice": "tuning.study.ranges",
    "Task": "tuning.core.task",
    "DataInfo": "tuning.core.task",
    "Cut": "tuning.data.cuts",
    "ForecastTable": "tuning.data.forecast_table",
    "table_windows": "tuning.data.windows",
    "served_forecast": "tuning.registry.forecasts",
    "windows": "tuning.data.windows",
    "Windows": "tuning.data.windows",
    "GateRule": "tuning.study.sections",
    "Metric": "tuning.metrics.metric",
    "TuningError": "tuning.core.errors",
    "BadInputError": "tuning.core.errors",
    "StudyFailedError": "tuning.core.errors",
    "InterruptedStudyError": "tuning.core.errors",
    "InfeasibleError": "tuning.core.errors",
    "FatalTrialError": "tuning.core.errors",
    "PromotionRefusedError": "tuning.core.errors",
}

__all__ = [
    "BadInputError",
    "Choice",
    "Cut",
    "DataInfo",
    "FatalTrialError",
    "Float",
    "ForecastTable",
    "GateRule",
    "InfeasibleError",
    "Int",
    "InterruptedStudyError",
    "Judgement",
    "Metric",
    "PromotionRefusedError",
    "Study",
    "StudyFailedError",
    "StudyResult",
    "Task",
    "TuningError",
    "Windows",
    "__version__",
    "confirm",
    "judge",
    "load_study",
    "served_forecast",
    "table_windows",
    "tune",
    "windows",
]


def __getattr__(name: str) -> Any:
    if name == "integrations":
        return importlib.import_module("tuning.integrations")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tuning' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
