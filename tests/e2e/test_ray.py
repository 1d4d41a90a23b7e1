"""``tune`` on Ray: the same study, the same record, and nothing lost with a node."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.losses import Losses, check_whole, losses, make_folder
from tests.e2e.process import PATH, Tune
from tests.e2e.server import Server
from tests.ray_nodes import SILENT, two_nodes

pytestmark = pytest.mark.slow


def values(uri: str) -> dict[str, float]:
    """The best value of every trial that no order of completion can change."""
    import mlflow

    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`tuning.phase` != 'confirm'")
    found = {run.data.tags["tuning.trial"]: run.data.metrics["best_val_accuracy"] for run in runs}
    return {name: value for name, value in found.items() if not name.startswith("optuna")}


@pytest.mark.full
@pytest.mark.parametrize("keras", [False, True])
def test_a_study_on_ray_is_the_same_as_on_this_machine(tmp_path: Path, keras: bool) -> None:
    local = Tune(make_folder(tmp_path / "local"), keras=keras)
    check_whole(local)
    ray = Tune(make_folder(tmp_path / "ray"), "--executor", "ray", keras=keras, **SILENT)
    check_whole(ray)
    found = values(local.uri)
    assert len(found) == 8
    assert values(ray.uri) == found


@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_study_leaves_no_process_and_goes_on_elsewhere(
    tmp_path: Path, number: signal.Signals
) -> None:
    folder = make_folder(tmp_path / "study")
    process = Tune(folder, "--executor", "ray", **SILENT)
    assert process.until(r"random-00\d .* val_accuracy")
    process.send(number)
    # Ray's agents of a node notice after a minute that its driver was killed; trials at once.
    code = process.end(linger=120)
    assert code == (-9 if number is signal.SIGKILL else 130), process.output
    check_whole(Tune(folder, "--resume", "last"))


@pytest.fixture
def cluster() -> Iterator[Any]:
    with two_nodes(PATH) as cluster:
        yield cluster


@pytest.mark.full
def test_a_node_that_is_lost_in_mid_study_costs_no_trial(tmp_path: Path, cluster: Any) -> None:
    folder = make_folder(tmp_path / "study", task_options={"servable": True, "epoch_seconds": 0.5})
    process = Tune(folder, "--executor", "ray", "--ray-address", cluster.address, **SILENT)
    assert process.until(r"random-00\d .* val_accuracy"), process.output
    cluster.remove_node(cluster.second, allow_graceful=False)
    assert process.end() == 0, process.output
    assert "trained again with the same seed" in process.output
    assert losses(process.uri) == Losses()


@pytest.mark.full
def test_models_go_from_the_nodes_to_the_server(tmp_path: Path, cluster: Any) -> None:
    import mlflow
    import psutil

    server = Server(tmp_path)
    try:
        folder = make_folder(tmp_path / "study")
        options = ("--executor", "ray", "--ray-address", cluster.address)
        process = Tune(folder, *options, uri=server.address, **SILENT)
        assert process.until(r"random-00\d .* val_accuracy"), process.output
        names = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
        assert any("ray::ModelUploader" in name for name in names)
        check_whole(process)
        assert "cannot write to the artifact store" not in process.output
        client = mlflow.MlflowClient(server.address)
        experiment = client.get_experiment_by_name("toy")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id], "tags.`tuning.state` = 'completed'")
        models = [tag for run in runs if (tag := run.data.tags.get("tuning.model"))]
        assert len(models) > 7
        for model_id in models:
            files = client.list_logged_model_artifacts(model_id, "data")
            size = {file.path: file.file_size for file in files}["data/model.keras"]
            assert size is not None
            assert size > 1_000
    finally:
        server.kill()


def test_an_address_where_no_cluster_is_is_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "study")
    (folder / "mlflow.db").unlink()
    address = "127.0.0.1:1"
    process = Tune(folder, "--executor", "ray", "--ray-address", address, **SILENT)
    assert process.end() == 2
    assert f"ray_address: '{address}' cannot be reached" in process.output
    assert not (folder / "mlflow.db").exists()
