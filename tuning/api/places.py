"""Where a study of Python code is recorded."""

import os
import sys
from typing import TYPE_CHECKING

from tuning.tracking.retry import retrying
from tuning.tracking.store import open_store, resolve_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient


def open_place(tracking_uri: str) -> "tuple[MlflowClient, str]":
    """Opens MLflow's store.

    Args:
        tracking_uri: Address of the store; empty for the one that is set in MLflow or in
            MLFLOW_TRACKING_URI, and otherwise ``mlflow.db`` in the current folder.

    Returns:
        A client that waits during an outage, and the absolute address.

    Raises:
        BadInputError: The store cannot be used.
    """
    uri = resolve_uri(given=tracking_uri or mlflow_uri())
    return retrying(open_store(uri)), uri


def mlflow_uri() -> str:
    """Returns the address that the caller has set in MLflow; empty if there is none."""
    mlflow = sys.modules.get("mlflow")
    if mlflow is None or os.environ.get("MLFLOW_TRACKING_URI"):
        return ""
    return str(mlflow.get_tracking_uri()) if mlflow.is_tracking_uri_set() else ""
