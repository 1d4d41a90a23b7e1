"""Where a study of Python code is recorded."""

import os
import sys


def mlflow_uri() -> str:
    """Returns the address that the caller has set in MLflow; empty if there is none."""
    mlflow = sys.modules.get("mlflow")
    if mlflow is None or os.environ.get("MLFLOW_TRACKING_URI"):
        return ""
    return str(mlflow.get_tracking_uri()) if mlflow.is_tracking_uri_set() else ""
