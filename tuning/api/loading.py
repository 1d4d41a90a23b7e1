"""Loads the results of earlier studies from MLflow."""

from collections.abc import Callable
from typing import Any

from tuning.api.places import open_place
from tuning.api.result import StudyResult
from tuning.core.errors import BadInputError
from tuning.metrics.catalogue import offer_function
from tuning.tracking import keys
from tuning.workflow.resume import find_run


def load_study(
    run_id: str = "last",
    *,
    name: str = "",
    tracking_uri: str = "",
    metric: Callable[..., Any] | None = None,
) -> StudyResult:
    """Loads the result of a study from MLflow.

    Args:
        run_id: Id of the study's parent run, or ``last`` for the newest one.
        name: Name of the study of which the newest one is wanted; empty for any.
        tracking_uri: Address of MLflow's store; empty for the one that is set in MLflow or in
            MLFLOW_TRACKING_URI, and otherwise ``mlflow.db`` in the current folder.
        metric: Function that is the metric of the study, if a script or a notebook defined it;
            nothing that a store holds is executed.

    Raises:
        BadInputError: There is no such study, or the store cannot be used; or ``metric`` is not
            its metric.
    """
    result = _loaded(run_id, name, tracking_uri, keys.TUNE)
    if metric is not None:
        offer_recorded(metric, result.record.study.compare.metric)
    return result


def offer_recorded(function: Callable[..., Any], recorded: str) -> None:
    """Makes a function known under the name of the metric that a study has recorded.

    Raises:
        BadInputError: The study has recorded another metric.
    """
    if recorded.rpartition(":")[2] != getattr(function, "__name__", "") or ":" not in recorded:
        raise BadInputError(f"metric: the study was judged by {recorded}; got {function!r}")
    offer_function(recorded, function)


def load_search(name: str, tracking_uri: str = "") -> StudyResult:
    """Loads the newest search of a name that ``phases.search`` has run alone.

    Raises:
        BadInputError: There is none.
    """
    return _loaded("last", name, tracking_uri, keys.SEARCH)


def has_search(name: str, tracking_uri: str = "") -> bool:
    """Returns whether there is such a search, without reading it."""
    try:
        _find("last", name, tracking_uri, keys.SEARCH)
    except BadInputError:
        return False
    return True


def _find(run_id: str, name: str, tracking_uri: str, kind: str) -> StudyResult:
    client, uri = open_place(tracking_uri)
    return StudyResult(find_run(client, run_id, name, kind), uri)


def _loaded(run_id: str, name: str, tracking_uri: str, kind: str) -> StudyResult:
    result = _find(run_id, name, tracking_uri, kind)
    _ = result.record  # so that a wrong id is an error here
    return result
