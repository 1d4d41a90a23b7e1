"""A store that was moved or copied with its files uses those that are beside it."""

import shutil
from pathlib import Path

import pytest

from tests.stores import copy_store, empty_store
from tuning.core.errors import BadInputError
from tuning.tracking.reader import read_record
from tuning.tracking.store import open_parent, open_store
from tuning.training.workspace import new_token


def make_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with a run that has a file, and a version; returns the id of the run."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    copy_store(empty_store(), folder / "mlflow.db")
    client = open_store(f"sqlite:///{folder / 'mlflow.db'}")
    client.create_experiment("study", artifact_location=(folder / "mlruns" / "1").as_uri())
    run_id = open_parent(client, "study", new_token()).run_id
    client.log_text(run_id, "hello", "file.txt")
    client.create_registered_model("toy")
    client.create_model_version("toy", str(folder / "mlruns" / "1" / "model"), run_id=run_id)
    return run_id


@pytest.mark.parametrize("name", ["after", "af ter#1 ä"])
@pytest.mark.parametrize("how", ["moved", "copied"])
def test_files_beside_the_database_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, name: str
) -> None:
    run_id = make_store(tmp_path / "be fore", monkeypatch)
    after = tmp_path / name
    if how == "moved":
        (tmp_path / "be fore").rename(after)
    else:
        shutil.copytree(tmp_path / "be fore", after)
    old_files = sorted((tmp_path / "be fore").rglob("*"))
    monkeypatch.chdir(after)
    client = open_store(f"sqlite:///{after / 'mlflow.db'}")
    assert Path(client.download_artifacts(run_id, "file.txt")).read_text() == "hello"
    source = client.get_model_version("toy", "1").source
    assert source == str(after / "mlruns" / "1" / "model")
    new = open_parent(client, "study", new_token()).run_id
    client.log_text(new, "new", "file.txt")
    assert (after / "mlruns" / "1" / new).is_dir()
    assert sorted((tmp_path / "be fore").rglob("*")) == old_files, "nothing goes to the old place"


def test_files_that_are_kept_elsewhere_stay_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = make_store(tmp_path / "files", monkeypatch)
    other = tmp_path / "other"
    other.mkdir()
    copy_store(tmp_path / "files" / "mlflow.db", other / "mlflow.db")
    (other / "mlruns" / "1" / "another-run").mkdir(parents=True)
    client = open_store(f"sqlite:///{other / 'mlflow.db'}")
    assert Path(client.download_artifacts(run_id, "file.txt")).read_text() == "hello"
    assert client.get_run(run_id).info.artifact_uri.startswith((tmp_path / "files").as_uri())


def test_files_that_are_missing_are_named_and_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = make_store(tmp_path / "gone", monkeypatch)
    (tmp_path / "left").mkdir()
    copy_store(tmp_path / "gone" / "mlflow.db", tmp_path / "left" / "mlflow.db")
    monkeypatch.chdir(tmp_path / "left")
    shutil.rmtree(tmp_path / "gone")
    client = open_store(f"sqlite:///{tmp_path / 'left' / 'mlflow.db'}")
    with pytest.raises(
        BadInputError, match=r"files of run .* are missing: .*gone.* does not exist"
    ):
        read_record(client, run_id)
    with pytest.raises(BadInputError, match=r"in .*gone/mlruns/1, which does not exist; put the"):
        open_parent(client, "study", new_token())
    assert not (tmp_path / "gone").exists()


def test_a_store_that_moved_into_a_folder_of_its_own_is_corrected_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = make_store(tmp_path / "project", monkeypatch)
    kept = (tmp_path / "project" / "archive").as_uri()
    open_store(f"sqlite:///{tmp_path / 'project' / 'mlflow.db'}").create_experiment("kept", kept)
    inner = tmp_path / "project" / "store"
    inner.mkdir()
    copy_store(tmp_path / "project" / "mlflow.db", inner / "mlflow.db")
    (tmp_path / "project" / "mlruns").rename(inner / "mlruns")
    (inner / "archive").mkdir()
    for _ in range(2):
        client = open_store(f"sqlite:///{inner / 'mlflow.db'}")
        address = client.get_run(run_id).info.artifact_uri
        assert address == f"{(inner / 'mlruns' / '1').as_uri()}/{run_id}/artifacts"
        experiment = client.get_experiment_by_name("kept")
        assert experiment is not None
        assert experiment.artifact_location == kept


def test_an_old_copy_beside_the_database_is_not_taken_for_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_store(tmp_path / "files", monkeypatch)
    shutil.copytree(tmp_path / "files" / "mlruns", tmp_path / "db" / "mlruns")
    client = open_store(f"sqlite:///{tmp_path / 'files' / 'mlflow.db'}")
    new = open_parent(client, "study", new_token()).run_id
    client.log_text(new, "newer", "file.txt")
    copy_store(tmp_path / "files" / "mlflow.db", tmp_path / "db" / "mlflow.db")
    client = open_store(f"sqlite:///{tmp_path / 'db' / 'mlflow.db'}")
    for run_id, text in ((old, "hello"), (new, "newer")):
        assert Path(client.download_artifacts(run_id, "file.txt")).read_text() == text
        assert client.get_run(run_id).info.artifact_uri.startswith((tmp_path / "files").as_uri())


def test_runs_without_files_do_not_hide_a_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = make_store(tmp_path / "before", monkeypatch)
    client = open_store(f"sqlite:///{tmp_path / 'before' / 'mlflow.db'}")
    for _ in range(3):
        open_parent(client, "study", new_token())
    (tmp_path / "before").rename(tmp_path / "after")
    client = open_store(f"sqlite:///{tmp_path / 'after' / 'mlflow.db'}")
    assert Path(client.download_artifacts(run_id, "file.txt")).read_text() == "hello"
