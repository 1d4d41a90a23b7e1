"""Opens MLflow's store, and the experiments, runs and models in it."""

import logging
import os
import re
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tuning.core.errors import BadInputError
from tuning.tracking import keys
from tuning.tracking.moved_store import follow_move, path_of
from tuning.tracking.retry import mlflow_retries

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_SECONDS = 120
_SQLITE = "sqlite:///"
# What MLflow or SQLAlchemy takes for something else in the path of a database.
_UNUSABLE = (
    (r"\?", "a '?'"),
    (r"%[0-9A-Fa-f]{2}", "a '%' before two digits or letters from a to f"),
    (r"'.*\"|\".*'", "both kinds of quotation marks"),
)
_ORIGIN = ("mlflow.user", "mlflow.source.name", "mlflow.source.type", "mlflow.source.git.commit")


@dataclass(frozen=True)
class Parent:
    """The parent run of all trials of a study.

    Attributes:
        run_id: Id of the run.
        experiment_id: Id of its experiment.
        created: Whether ``open_parent`` created the run. Otherwise ``mlflow run`` created it, or
            the study is resumed.
        launcher: Id of the run that ``mlflow run`` has opened, if it is not the parent run.
    """

    run_id: str
    experiment_id: str
    created: bool
    launcher: str = ""


def resolve_uri(env: Mapping[str, str] = os.environ, given: str = "") -> str:
    """Returns the tracking address: MLFLOW_TRACKING_URI, or ``mlflow.db`` in the current folder.

    A relative SQLite address names a different file in every folder, so it becomes absolute.

    Args:
        env: Environment variables.
        given: Address that has precedence; empty for none.

    Raises:
        BadInputError: The path of a SQLite file has characters that MLflow cannot use.
    """
    uri = given or env.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}mlflow.db"
    if (file := sqlite_file(uri)) is None:
        return uri
    path, _, options = str(file.absolute()), *uri.partition("?")[1:]
    unusable = next((what for pattern, what in _UNUSABLE if re.search(pattern, path)), None)
    if unusable is not None:
        raise BadInputError(
            f"MLflow's store: the path {path!r} has {unusable}, which MLflow cannot use in the "
            "address of a database; run in another folder, or set MLFLOW_TRACKING_URI to a file "
            "in another one"
        )
    return f"{_SQLITE}{path}?{options}" if options else f"{_SQLITE}{path}"


def all_pages(search: Callable[[str | None], Any]) -> list[Any]:
    """Returns what all pages of a search have found.

    Args:
        search: Function of the token of a page, which is None for the first one.
    """
    found: list[Any] = []
    token: str | None = None
    while True:
        page = search(token)
        found += page
        token = page.token
        if not token:
            return found


def quieten_mlflow() -> None:
    """Keeps MLflow from printing what users can do nothing about."""
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # It warns about every model if the environment has no pip, for example one made by uv.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    # It tells of every table of a new database.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)


def open_store(uri: str) -> "MlflowClient":
    """Opens the store and makes it MLflow's current store. Creates a missing SQLite file.

    Raises:
        BadInputError: The store cannot be reached or used.
    """
    quieten_mlflow()
    import mlflow
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    mlflow.set_tracking_uri(uri)
    try:
        if file := sqlite_file(uri):
            return _open_sqlite(uri, file)
        client = mlflow.MlflowClient(uri)
        with mlflow_retries("1"):  # a wrong address fails within seconds
            client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError, sqlite3.Error) as error:
        raise BadInputError(
            f"MLflow's store {uri} cannot be used: {error}. "
            "Set MLFLOW_TRACKING_URI to a running server or a writable sqlite:////path/mlflow.db"
        ) from error
    return client


def take_launcher(env: MutableMapping[str, str] = os.environ) -> str:
    """Returns the id of the run that ``mlflow run`` opened for this process, or an empty string.

    It also removes the id from the environment. Otherwise MLflow's fluent interface would use this
    run as the first run of this process or of a child process.
    """
    env.pop("MLFLOW_EXPERIMENT_ID", None)
    return env.pop("MLFLOW_RUN_ID", "")


def open_parent(
    client: "MlflowClient", experiment: str, token: str, launcher: str = "", resume: str = ""
) -> Parent:
    """Uses the run that ``mlflow run`` opened, or creates a run in the study's experiment.

    It may be called again if the answer to a call was lost.

    Args:
        client: Client of the open store.
        experiment: Name of the experiment for a new run.
        token: Unique value of the study. A repeated call finds the run of an earlier call by it.
        launcher: Id of the run that ``mlflow run`` opened; empty if there is none.
        resume: Id of the parent run of a resumed study. If it is given, this run is used.
    """
    if resume:
        if launcher:
            client.set_tag(launcher, "tuning.run", resume)
        experiment_id = client.get_run(resume).info.experiment_id
        return Parent(resume, experiment_id, created=False, launcher=launcher)
    if launcher:
        info = client.get_run(launcher).info
        # If `mlflow ui` created the database, the Default experiment has an artifact root that
        # only a server can write.
        if not info.artifact_uri.startswith("mlflow-artifacts:") or is_server(client.tracking_uri):
            return Parent(launcher, info.experiment_id, created=False)
    experiment_id = get_experiment(client, experiment)
    _check_files(client, experiment_id)
    tags = {keys.WORKSPACE: token}
    query = f"tags.`{keys.WORKSPACE}` = '{token}'"
    runs = client.search_runs([experiment_id], query, max_results=1)
    run = runs[0] if runs else client.create_run(experiment_id, run_name="tune", tags=tags)
    if launcher:
        client.set_tag(launcher, "tuning.run", run.info.run_id)
    return Parent(run.info.run_id, experiment_id, created=True, launcher=launcher)


def _check_files(client: "MlflowClient", experiment_id: str) -> None:
    """Refuses an experiment whose folder of files is gone, instead of making it again.

    Raises:
        BadInputError: The folder is gone, for example because the store was moved without it.
    """
    location = client.get_experiment(experiment_id).artifact_location
    folder, database = path_of(location), sqlite_file(client.tracking_uri)
    # MLflow makes <folder of the store>/mlruns/<experiment> when the first file is written.
    if folder is None or database is None or folder.parents[1].exists():
        return
    runs = client.search_runs([experiment_id], max_results=1)
    if runs:
        raise BadInputError(
            f"MLflow's store {database} keeps the files of its experiment in {folder}, which does "
            "not exist; put the folder back, or put it beside the database, where it is found"
        )


def sqlite_file(uri: str) -> Path | None:
    """Returns the file of a SQLite store; None for another store."""
    return Path(uri.removeprefix(_SQLITE).partition("?")[0]) if uri.startswith(_SQLITE) else None


def check_artifacts(place: str) -> None:
    """Writes, reads and deletes one small file where MLflow keeps artifacts.

    Args:
        place: Address of a folder of artifacts, for example that of a run.

    Raises:
        BadInputError: This machine cannot write or read there.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    name = f"tuning-check-{uuid.uuid4().hex[:12]}.txt"
    try:
        with tempfile.TemporaryDirectory() as folder, mlflow_retries("1"):
            file = Path(folder, name)
            file.write_text(name)
            target = Path(folder, "read")
            target.mkdir()
            repository: Any = get_artifact_repository(place)
            repository.log_artifact(str(file))
            read = Path(repository.download_artifacts(name, str(target))).read_text()
            repository.delete_artifacts(name)
        if read != name:
            raise OSError(f"{name} was written, and something else was read")
    except Exception as error:
        raise BadInputError(
            f"the artifacts of MLflow's store cannot be used at {place}: {error}. Check that this "
            "machine can write there, or start the server with --serve-artifacts"
        ) from error


def get_experiment(client: "MlflowClient", name: str) -> str:
    """Returns the id of the experiment with this name, and creates it if there is none.

    Raises:
        BadInputError: The experiment exists, but it was deleted.
    """
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(name))
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
    """Creates an empty logged model in the experiment of its run, and returns its id.

    Without this id, ``mlflow.models.Model.log`` would create the model in the Default experiment,
    and the study's experiment would show no models.
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
    """Updates SQLite's table statistics, so that the query planner finds a curve by its run.

    Without statistics, SQLite uses the index of metric names, and reads the epochs of all runs for
    each curve. The update takes milliseconds. It is skipped if the store is not a SQLite file or
    cannot be written now.
    """
    if (database := sqlite_file(tracking_uri)) is None:
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=1)) as connection:
        connection.execute("PRAGMA analysis_limit=400")
        connection.execute("ANALYZE")
        connection.commit()


def is_server(tracking_uri: str) -> bool:
    """Returns whether the store is an MLflow server, and not a database or a folder."""
    return urlsplit(tracking_uri).scheme in ("http", "https")


def is_remote(artifact_uri: str) -> bool:
    """Returns whether other machines can also write artifacts to this address."""
    return urlsplit(artifact_uri).scheme not in ("", "file")


def credentials(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Returns the environment variables with the credentials of MLflow's server and of S3."""
    return {
        name: value
        for name, value in env.items()
        if name.startswith(("MLFLOW_TRACKING_", "MLFLOW_S3_"))
        # A URI is not a credential, and a path names a file of this machine.
        and not name.endswith(("_URI", "_PATH"))
    }


def _open_sqlite(uri: str, database: Path) -> "MlflowClient":
    import mlflow
    from filelock import FileLock

    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=LOCK_SECONDS):
        # The constructor creates the tables. If two processes do this at the same time, the file
        # is broken.
        client = mlflow.MlflowClient(uri)
        client.search_registered_models(max_results=1)
        # With a write-ahead log, the writer and readers such as the UI do not block each other.
        with closing(sqlite3.connect(database, timeout=20)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        follow_move(database)
    return client
