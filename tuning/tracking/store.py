"""Opens MLflow's store: absolute addresses, one process at a time for a fresh SQLite file."""

import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tuning.core.errors import BadInputError
from tuning.tracking import keys

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE = "mlflow.db"
LOCK_SECONDS = 120
_SQLITE = "sqlite:///"
_ORIGIN = ("mlflow.user", "mlflow.source.name", "mlflow.source.type", "mlflow.source.git.commit")


@dataclass(frozen=True)
class Parent:
    """The run under which all trials of a study are.

    Attributes:
        run_id: Its id.
        experiment_id: The experiment that it is in.
        created: Whether it was created here; otherwise ``mlflow run`` had opened it.
        launcher: The run that ``mlflow run`` had opened, where it could not be used.
    """

    run_id: str
    experiment_id: str
    created: bool
    launcher: str = ""


def resolve_uri(env: Mapping[str, str] = os.environ) -> str:
    """The tracking address: MLFLOW_TRACKING_URI, or ``mlflow.db`` in the current folder.

    A relative SQLite address would name another file in every folder, so it is made absolute.
    """
    uri = env.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{DATABASE}"
    if uri.startswith(_SQLITE):
        return f"{_SQLITE}{Path(uri.removeprefix(_SQLITE)).absolute()}"
    return uri


def open_store(uri: str) -> "MlflowClient":
    """Opens the store, creating a local one if needed, and makes it MLflow's current one.

    Raises:
        BadInputError: The store cannot be reached or used.
    """
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # With every model it complains of environments without pip, such as those that uv makes.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    import mlflow
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    mlflow.set_tracking_uri(uri)
    try:
        if uri.startswith(_SQLITE):
            return _open_sqlite(uri, Path(uri.removeprefix(_SQLITE)))
        client = mlflow.MlflowClient(uri)
        with _impatient():
            client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError, sqlite3.Error) as error:
        raise BadInputError(
            f"MLflow's store {uri} cannot be used: {error}. "
            "Set MLFLOW_TRACKING_URI to a running server or a writable sqlite:////path/mlflow.db"
        ) from error
    return client


@contextmanager
def _impatient() -> Iterator[None]:
    """Lets a wrong address fail within seconds; later, MLflow's own patience is welcome."""
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def take_launcher(env: MutableMapping[str, str] = os.environ) -> str:
    """The run that ``mlflow run`` opened for this process, or an empty string.

    It is removed from the environment: while it is there, the first run that any process starts
    through MLflow's fluent interface would take this run over.
    """
    env.pop("MLFLOW_EXPERIMENT_ID", None)
    return env.pop("MLFLOW_RUN_ID", "")


def open_parent(
    client: "MlflowClient", experiment: str, token: str, launcher: str = "", resume: str = ""
) -> Parent:
    """Takes over the run that ``mlflow run`` opened, or creates one in the study's experiment.

    It may be called again after a lost answer.

    Args:
        client: Of the open store.
        experiment: Name of the experiment to create a run in.
        token: Unique for the study, by which a run that was created already is found again.
        launcher: The run that ``mlflow run`` opened.
        resume: The parent run of a study that goes on, which is taken instead.
    """
    if resume:
        if launcher:
            client.set_tag(launcher, "tuning.run", resume)
        experiment_id = client.get_run(resume).info.experiment_id
        return Parent(resume, experiment_id, created=False, launcher=launcher)
    if launcher:
        info = client.get_run(launcher).info
        if _is_writable(info.artifact_uri, client.tracking_uri):
            return Parent(launcher, info.experiment_id, created=False)
    experiment_id = get_experiment(client, experiment)
    known = client.search_runs(
        [experiment_id], f"tags.`{keys.WORKSPACE}` = '{token}'", max_results=1
    )
    run = (
        known[0]
        if known
        else client.create_run(experiment_id, run_name="tune", tags={keys.WORKSPACE: token})
    )
    if launcher:
        client.set_tag(launcher, "tuning.run", run.info.run_id)
    return Parent(run.info.run_id, experiment_id, created=True, launcher=launcher)


def get_experiment(client: "MlflowClient", name: str) -> str:
    """The id of an experiment, which is created if there is none of that name.

    Raises:
        BadInputError: There is one, but it was deleted.
    """
    from mlflow.exceptions import MlflowException

    try:
        experiment_id: str = client.create_experiment(name)
        return experiment_id
    except MlflowException:
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            raise
        if experiment.lifecycle_stage == "deleted":
            raise BadInputError(
                f"the MLflow experiment {name!r} was deleted; restore it with `mlflow experiments "
                f"restore -x {experiment.experiment_id}`, or give the study another name"
            ) from None
        return str(experiment.experiment_id)


def create_model(client: "MlflowClient", run_id: str, name: str) -> str:
    """Creates a logged model, to be logged with its id, in the experiment of its run.

    ``mlflow.models.Model.log`` by itself would put it into the Default experiment: the study's
    own would show no models.
    """
    run = client.get_run(run_id)
    model = client.create_logged_model(
        run.info.experiment_id,
        name=name,
        source_run_id=run_id,
        params=run.data.params,
        tags={key: value for key, value in run.data.tags.items() if key in _ORIGIN},
    )
    return str(model.model_id)


def help_planner(tracking_uri: str) -> None:
    """Tells SQLite how its rows are spread, so that a curve is found by its run.

    Without that it takes the index of all metrics of one name, and reads the epochs of every run
    for the curve of each. It costs milliseconds; a store that is no SQLite file, or that cannot be
    written now, is left alone.
    """
    if not tracking_uri.startswith(_SQLITE):
        return
    with suppress(sqlite3.Error):
        connection = sqlite3.connect(tracking_uri.removeprefix(_SQLITE), timeout=1)
        try:
            connection.execute("PRAGMA analysis_limit=400")
            connection.execute("ANALYZE")
            connection.commit()
        finally:
            connection.close()


def is_server(tracking_uri: str) -> bool:
    """Whether a store is behind an MLflow server, and no database or folder."""
    return urlsplit(tracking_uri).scheme in ("http", "https")


def is_remote(artifact_uri: str) -> bool:
    """Whether artifacts there can be written from other machines too."""
    return urlsplit(artifact_uri).scheme not in ("", "file")


def credentials(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables by which MLflow's server and a store in its name let this process in."""
    return {
        name: value
        for name, value in env.items()
        if name.startswith(("MLFLOW_TRACKING_", "MLFLOW_S3_"))
        # Neither is this: a file of this machine.
        and not name.endswith(("_URI", "_PATH"))
    }


def _open_sqlite(uri: str, database: Path) -> "MlflowClient":
    import mlflow
    from filelock import FileLock

    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=LOCK_SECONDS):
        # The constructor makes the tables, and processes that do so at the same time leave a
        # broken file behind.
        client = mlflow.MlflowClient(uri)
        client.search_registered_models(max_results=1)
        # With a write-ahead log, readers such as the UI and the writer do not wait for each other.
        connection = sqlite3.connect(database, timeout=20)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
    return client


def _is_writable(artifact_uri: str, tracking_uri: str) -> bool:
    # `mlflow ui`, if it created the database, gives the Default experiment an artifact root that
    # only a server can write.
    return not artifact_uri.startswith("mlflow-artifacts:") or is_server(tracking_uri)
