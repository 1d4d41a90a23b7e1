"""Records every reading of a test split, and counts the readings of the same rows in the store.

Every look at the same test rows makes the best of all results on them look better than it is, so
reports, model cards and the gate say how many there were.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tuning.core.record import Look
from tuning.tracking import keys
from tuning.tracking.predictions import fetch
from tuning.tracking.store import all_pages

if TYPE_CHECKING:
    from mlflow import MlflowClient


def record_look(
    client: "MlflowClient", run_id: str, study: str, rows: str, models: Sequence[str]
) -> Look:
    """Records a look in the parent run of a study. It must be called before the models predict.

    A process that is killed between this call and the predictions leaves a look that did not
    happen. The other order would leave looks that are not recorded.

    Args:
        client: Client of the MLflow store.
        run_id: Id of the parent run.
        study: Name of the study.
        rows: Digest of the test rows.
        models: Names of the trials whose models will predict.

    Returns:
        The look, with its number among all looks at these rows in the store.
    """
    looks = read_looks(client, run_id)
    look = Look(
        number=count_looks(client, rows, without=run_id) + len(looks) + 1,
        at=f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}",
        study=study,
        rows=rows,
        models=tuple(models),
    )
    text = json.dumps([asdict(each) for each in (*looks, look)], indent=2)
    client.log_text(run_id, text, keys.LOOKS_FILE)
    client.set_tag(run_id, keys.TEST_DIGEST, rows)
    client.set_tag(run_id, keys.LOOKS, str(len(looks) + 1))
    return look


def count_looks(client: "MlflowClient", rows: str, without: str = "") -> int:
    """Counts the looks at some test rows, over all studies of the store, also deleted ones.

    Args:
        client: Client of the MLflow store.
        rows: Digest of the test rows.
        without: Id of a parent run whose looks are not counted.
    """
    from mlflow.entities import ViewType

    experiments = all_pages(
        lambda token: client.search_experiments(ViewType.ALL, page_token=token)
    )
    ids = [experiment.experiment_id for experiment in experiments]
    query = f"tags.`{keys.TEST_DIGEST}` = '{rows}'"
    runs = all_pages(
        lambda token: client.search_runs(ids, query, ViewType.ALL, 1_000, page_token=token)
    )
    return sum(_number(run.data.tags) for run in runs if run.info.run_id != without)


def read_looks(client: "MlflowClient", run_id: str, address: str = "") -> list[Look]:
    """Returns the looks of a study, in their order.

    Args:
        client: Client of the MLflow store.
        run_id: Id of the parent run.
        address: Address of the run's artifacts; empty to ask the store for it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = fetch(client, run_id, keys.LOOKS_FILE, folder, address)
        looks = [] if file is None else json.loads(file.read_text("utf-8"))
    return [Look(**{**look, "models": tuple(look["models"])}) for look in looks]


def _number(tags: dict[str, str]) -> int:
    text = tags.get(keys.LOOKS, "")
    return int(text) if text.isdigit() else 0
