"""Links to MLflow's pages, and a view of the leaderboard with the columns of the study."""

import base64
import json
import logging
import time
import zlib
from typing import TYPE_CHECKING

from tuning.study.file import Study
from tuning.tracking import keys
from tuning.tracking.store import all_pages, is_server

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULT_ADDRESS = "http://127.0.0.1:5000"
VIEW_KEY = "tuning-leaderboard"

_log = logging.getLogger(__name__)


def page_address(tracking_uri: str) -> str:
    """Returns where a browser finds MLflow's pages of a store.

    A server has them itself; of a database it is the address that ``tuning ui`` serves by default.
    """
    return tracking_uri.rstrip("/") if is_server(tracking_uri) else DEFAULT_ADDRESS


def experiments_with_studies(client: "MlflowClient") -> dict[str, str]:
    """Returns the ids of the experiments that have studies by their names, the newest first."""
    newest = ["last_update_time DESC"]
    experiments = all_pages(
        lambda token: client.search_experiments(order_by=newest, page_token=token)
    )
    ids = [experiment.experiment_id for experiment in experiments]
    studies = all_pages(
        lambda token: client.search_runs(
            ids, f"tags.`{keys.KIND}` != ''", max_results=1_000, page_token=token
        )
    )
    used = {study.info.experiment_id for study in studies}
    return {each.name: each.experiment_id for each in experiments if each.experiment_id in used}


def leaderboard_link(experiment_id: str, address: str = DEFAULT_ADDRESS) -> str:
    """Returns the URL of the page with a study's runs.

    Without ``workflowType``, MLflow may open the page of traces, and a study has no traces.
    """
    return (
        f"{address}/#/experiments/{experiment_id}/runs"
        f"?workflowType=machine_learning&viewStateShareKey={VIEW_KEY}"
    )


def share_leaderboard(client: "MlflowClient", experiment_id: str, study: Study) -> None:
    """Stores a view of the experiment: best validation first, a column per hyperparameter.

    The format is internal to MLflow and may change. Then the page opens with its default columns.
    A failure to store the view is only logged, because the study does not need it.
    """
    metric = keys.best_value(study.objective.metric)
    columns = [
        f"metrics.`{metric}`",
        f"metrics.`{keys.test_metric(study.compare.deciding.key)}`",
        *(f"params.`{name}`" for name in study.space.names),
        "tags.`tuning.phase`",
        "tags.`tuning.state`",
        "attributes.`Duration`",
    ]
    state = {
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": study.objective.sign < 0,
        "searchFilter": "",
        "selectedColumns": columns,
    }
    now = int(time.time() * 1000)
    data = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    view = {"name": "Leaderboard", "createdAt": now, "updatedAt": now, "state": f"deflate;{data}"}
    tag = f"mlflow.sharedViewState.{VIEW_KEY}"
    try:
        client.set_experiment_tag(experiment_id, tag, json.dumps(view))
    except Exception as error:
        _log.warning("the view of the leaderboard could not be stored: %s", error)
