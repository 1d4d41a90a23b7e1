"""Opening MLflow's store: fresh files, several processes at once, runs of ``mlflow run``."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tuning.core.errors import BadInputError
from tuning.tracking.store import (
    check_artifacts,
    credentials,
    get_experiment,
    is_remote,
    is_server,
    open_parent,
    open_store,
    resolve_uri,
    sqlite_file,
    take_launcher,
)
from tuning.training.workspace import new_token

if TYPE_CHECKING:
    from mlflow import MlflowClient

ROOT = Path(__file__).parents[2]


TOKEN = new_token()


def test_addresses_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_uri({}) == f"sqlite:///{tmp_path}/mlflow.db"
    relative = {"MLFLOW_TRACKING_URI": "sqlite:///sub/x.db"}
    assert resolve_uri(relative) == f"sqlite:///{tmp_path}/sub/x.db"
    options = {"MLFLOW_TRACKING_URI": "sqlite:///sub/x.db?timeout=5"}
    assert resolve_uri(options) == f"sqlite:///{tmp_path}/sub/x.db?timeout=5"
    assert sqlite_file(resolve_uri(options)) == tmp_path / "sub" / "x.db"
    http = {"MLFLOW_TRACKING_URI": "http://somewhere:5000"}
    assert resolve_uri(http) == "http://somewhere:5000"


@pytest.mark.slow
def test_a_folder_of_any_name_has_its_store_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "we ird a#b 100% %q ä'é&;c=d [x]{y}~$HOME"
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    client = open_store(resolve_uri({}))
    parent = open_parent(client, "study", TOKEN)
    check_artifacts(str(client.get_run(parent.run_id).info.artifact_uri))
    client.log_text(parent.run_id, "hello", "folder/file.txt")
    assert Path(client.download_artifacts(parent.run_id, "folder/file.txt")).read_text() == "hello"
    with sqlite3.connect(folder / "mlflow.db") as connection:
        assert connection.execute("select count(*) from runs").fetchone() == (1,)
    assert (folder / "mlruns").is_dir()
    assert {file.name for file in tmp_path.iterdir()} == {name}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("why?", r"a '\?'"),
        ("%41", "a '%' before two"),
        ("a'b\"c", "both kinds of quotation marks"),
    ],
)
def test_a_folder_that_a_database_address_cannot_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    with pytest.raises(BadInputError, match=f"has {what}.*, which MLflow cannot use"):
        resolve_uri({})


@pytest.mark.parametrize(
    ("uri", "server"),
    [
        ("http://127.0.0.1:5000", True),
        ("https://mlflow.example.org", True),
        ("sqlite:////work/mlflow.db", False),
        ("postgresql+psycopg2://user:pw@host/db", False),
    ],
)
def test_a_database_is_no_server(uri: str, server: bool) -> None:
    assert is_server(uri) is server


@pytest.mark.parametrize(
    ("uri", "remote"),
    [
        ("mlflow-artifacts:/1/models", True),
        ("s3://bucket/1", True),
        ("/work/mlruns/1", False),
        ("file:///work/mlruns/1", False),
    ],
)
def test_only_a_folder_is_of_one_machine(uri: str, remote: bool) -> None:
    assert is_remote(uri) is remote


def test_other_machines_get_what_lets_them_in_and_nothing_else() -> None:
    env = {
        "MLFLOW_TRACKING_URI": "http://here",
        "MLFLOW_TRACKING_PASSWORD": "secret",
        "MLFLOW_S3_ENDPOINT_URL": "http://there",
        "MLFLOW_TRACKING_SERVER_CERT_PATH": "/a/file/of/this/machine.pem",
        "MLFLOW_RUN_ID": "1",
        "AWS_SECRET_ACCESS_KEY": "mine",
    }
    assert sorted(credentials(env)) == ["MLFLOW_S3_ENDPOINT_URL", "MLFLOW_TRACKING_PASSWORD"]


def test_a_parent_is_created_in_the_study_s_experiment(client: "MlflowClient") -> None:
    parent = open_parent(client, "a-study", TOKEN)
    assert parent.created
    assert open_parent(client, "a-study", TOKEN).run_id == parent.run_id, "after a lost answer"
    assert open_parent(client, "a-study", "f" * 32).run_id != parent.run_id
    run = client.get_run(parent.run_id)
    assert run.info.experiment_id == get_experiment(client, "a-study") == parent.experiment_id


def test_the_run_of_mlflow_run_becomes_the_parent(client: "MlflowClient") -> None:
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    opened = client.create_run(experiment.experiment_id).info.run_id
    env = {"MLFLOW_RUN_ID": opened, "MLFLOW_EXPERIMENT_ID": experiment.experiment_id}
    parent = open_parent(client, "a-study", TOKEN, take_launcher(env))
    assert (parent.run_id, parent.created) == (opened, False)
    assert env == {}, "no worker may attach to it"


def test_a_run_whose_files_only_a_server_can_write_is_not_used(client: "MlflowClient") -> None:
    served = client.create_experiment("served", artifact_location="mlflow-artifacts:/7")
    opened = client.create_run(served).info.run_id
    parent = open_parent(client, "a-study", TOKEN, opened)
    assert parent.created
    assert parent.launcher == opened
    assert client.get_run(opened).data.tags["tuning.run"] == parent.run_id


def test_a_deleted_experiment_is_explained(client: "MlflowClient") -> None:
    client.delete_experiment(get_experiment(client, "gone"))
    with pytest.raises(BadInputError, match="'gone' was deleted; restore it with"):
        get_experiment(client, "gone")


def test_a_store_that_cannot_be_used_is_explained(tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_text("this is no database, whatever its name says" * 100)
    with pytest.raises(BadInputError, match="Set MLFLOW_TRACKING_URI"):
        open_store(f"sqlite:///{broken}")


@pytest.mark.slow
@pytest.mark.full
def test_processes_that_open_a_fresh_store_at_once_do_not_break_it(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    code = (
        "from tuning.tracking.store import open_parent, open_store\n"
        "from tuning.training.workspace import new_token\n"
        f"open_parent(open_store({uri!r}), 'shared', new_token())\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=os.environ.copy())
        for _ in range(3)
    ]
    assert [process.wait() for process in processes] == [0] * 3
    client = open_store(uri)
    experiment = client.get_experiment_by_name("shared")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 3
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
