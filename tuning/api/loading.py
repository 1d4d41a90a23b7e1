"""Loads the results of earlier studies from MLflow."""

from tuning.api.places import mlflow_uri
from tuning.api.result import StudyResult
from tuning.tracking import keys


def load_study(run_id: str = "last", *, name: str = "", tracking_uri: str = "") -> StudyResult:
    """Loads the result of a study from MLflow.

    Args:
        run_id: Id of the study's parent run, or ``last`` for the newest one.
        name: Name of the study of which the newest one is wanted; empty for any.
        tracking_uri: Address of MLflow's store; empty for the one that is set in MLflow or in
            MLFLOW_TRACKING_URI, and otherwise ``mlflow.db`` in the current folder.

    Raises:
        BadInputError: There is no such study, or the store cannot be used.
    """
    return _load(run_id, name, tracking_uri, keys.TUNE)


def load_search(name: str, tracking_uri: str = "") -> StudyResult:
    """Loads the newest search of a name that ``phases.search`` has run alone.

    Raises:
        BadInputError: There is none.
    """
    return _load("last", name, tracking_uri, keys.SEARCH)


def _load(run_id: str, name: str, tracking_uri: str, kind: str) -> StudyResult:
    from tuning.tracking.retry import retrying
    from tuning.tracking.store import open_store, resolve_uri
    from tuning.workflow.resume import find_run

    uri = tracking_uri or mlflow_uri()
    uri = resolve_uri({"MLFLOW_TRACKING_URI": uri}) if uri else resolve_uri()
    client = retrying(open_store(uri))
    result = StudyResult(find_run(client, run_id, name, kind), uri)
    _ = result.record  # so that a wrong id is an error here
    return result
