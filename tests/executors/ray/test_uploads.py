"""Models leave a Ray node for the artifact store, and none is lost on the way."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.executors.ray.test_ray import spec
from tests.factories import make_trial
from tests.ray_nodes import joined
from tuning.core.interfaces import Finished, UploadTarget
from tuning.core.trial import FailureKind, Trial, TrialResult, TrialState
from tuning.executors.ray.executor import RayExecutor
from tuning.executors.ray.files import node_folder
from tuning.testing.executors import collect, finished, wait_for_slots
from tuning.tracking.keras_flavour import ModelPlace

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.slow

PARAMS: dict[str, object] = {"units": 4, "rate": 0.0}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with joined() as cluster:
        yield cluster


class Store:
    """Answers where models go when it is told to, and remembers who asked."""

    def __init__(self) -> None:
        self.asked: dict[str, TrialResult] = {}
        self._answers: dict[str, Future[UploadTarget | None]] = {}

    def __call__(self, trial: Trial, result: TrialResult) -> "Future[UploadTarget | None]":
        assert trial.name not in self.asked
        self.asked[trial.name] = result
        return self._answers.setdefault(trial.name, Future())

    def say(self, name: str, target: UploadTarget | Exception | None) -> None:
        answer = self._answers.setdefault(name, Future())
        if isinstance(target, Exception):
            answer.set_exception(target)
        else:
            answer.set_result(target)


class Hangs:
    """A store that lets nobody in and says nothing."""

    def upload(self, file: str) -> None:
        time.sleep(3_600)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture(
    params=[True, pytest.param(False, marks=pytest.mark.full)], ids=["shared", "apart"]
)
def executor(
    request: pytest.FixtureRequest, cluster: Any, store: Store, tmp_path: Path
) -> Iterator[RayExecutor]:
    (tmp_path / "files").mkdir()
    executor = RayExecutor(spec(tmp_path / "files"), 1, shared=request.param)
    executor.upload_models_to(store)
    wait_for_slots(executor, 1)
    yield executor
    executor.close()


def place(client: "MlflowClient", uri: str) -> ModelPlace:
    """A logged model without its file."""
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    model = client.create_logged_model(experiment.experiment_id, name="a")
    return ModelPlace(uri, model.model_id)


def train(executor: RayExecutor, store: Store, name: str = "a") -> None:
    """Trains until somebody wants to know where the model goes."""
    executor.submit(make_trial(name, params=PARAMS, epochs=1))
    deadline = time.monotonic() + 120
    while name not in store.asked:
        assert time.monotonic() < deadline
        assert not any(isinstance(event, Finished) for event in executor.poll(0.2))


def in_store(client: "MlflowClient", target: ModelPlace) -> int:
    files = client.list_logged_model_artifacts(target.model_id, "data")
    (file,) = [file for file in files if file.path == "data/model.keras"]
    assert file.file_size is not None
    return file.file_size


def left_behind() -> set[Path]:
    return set(node_folder().glob("model-*"))


def test_a_model_goes_to_the_store_while_the_slot_trains_on(
    executor: RayExecutor, store: Store, client: "MlflowClient", tmp_path: Path
) -> None:
    before = left_behind()
    train(executor, store)
    assert store.asked["a"].state is TrialState.COMPLETED
    assert Path(store.asked["a"].artifacts["model_spec"]).exists()
    assert executor.free_slots == 1, "its trial has not finished, but the slot is free"
    train(executor, store, "b")
    target = place(client, client.tracking_uri)
    store.say("a", target)
    result = finished(collect(executor))["a"].result
    assert result.state is TrialState.COMPLETED
    assert "model" not in result.artifacts
    assert in_store(client, target) > 1_000
    store.say("b", ValueError("no logged model"))
    result = finished(collect(executor))["b"].result
    assert Path(result.artifacts["model"]) == tmp_path / "files" / "b" / "model.keras"
    assert Path(result.artifacts["model"]).stat().st_size > 1_000
    train(executor, store, "c")
    store.say("c", None)
    result = finished(collect(executor))["c"].result
    assert result.state is TrialState.COMPLETED
    assert "model" not in result.artifacts
    deadline = time.monotonic() + 30
    while left_behind() != before:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_what_a_node_cannot_write_goes_through_the_driver_and_a_word_about_it_is_said_once(
    executor: RayExecutor,
    store: Store,
    client: "MlflowClient",
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    nowhere = f"sqlite:///{tmp_path}/a folder that is not there/mlflow.db"
    train(executor, store)
    store.say("a", place(client, nowhere))
    result = finished(collect(executor))["a"].result
    assert result.state is TrialState.COMPLETED
    assert Path(result.artifacts["model"]).stat().st_size > 1_000
    executor.submit(make_trial("b", params=PARAMS, epochs=1))
    result = finished(collect(executor))["b"].result
    assert Path(result.artifacts["model"]).stat().st_size > 1_000
    assert "b" not in store.asked
    assert caplog.text.count("cannot write to the artifact store") == 1
    assert "Logged model with ID" in caplog.text, "the cause is named"


def test_a_trial_that_is_cancelled_while_the_store_is_away_has_its_model_here(
    executor: RayExecutor, store: Store
) -> None:
    train(executor, store)
    executor.cancel("a", "it takes too long")
    result = finished(collect(executor))["a"].result
    assert result.state is TrialState.COMPLETED
    assert Path(result.artifacts["model"]).stat().st_size > 1_000
    assert executor.free_slots == 1


def test_uploads_that_hang_keep_no_trial_from_its_end(executor: RayExecutor, store: Store) -> None:
    names = ("a", "b", "c", "d")
    for name in names:
        train(executor, store, name)
        store.say(name, Hangs())
    for _ in range(10):
        assert not executor.poll(0.2)
    for name in names:
        executor.cancel(name, "it takes too long")
        result = finished(collect(executor))[name].result
        assert result.state is TrialState.COMPLETED
        assert Path(result.artifacts["model"]).stat().st_size > 1_000


@pytest.mark.full
def test_an_uploader_that_dies_is_replaced(
    executor: RayExecutor, store: Store, client: "MlflowClient"
) -> None:
    import psutil

    train(executor, store)
    store.say("a", first := place(client, client.tracking_uri))
    assert finished(collect(executor))
    assert in_store(client, first)
    uploaders = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any("ray::ModelUploader" in part for part in process.info["cmdline"] or [])
    ]
    assert uploaders
    for process in uploaders:
        os.kill(process.pid, signal.SIGKILL)
    train(executor, store, "b")
    store.say("b", second := place(client, client.tracking_uri))
    result = finished(collect(executor))["b"].result
    assert result.state is TrialState.COMPLETED
    assert in_store(client, second) > 1_000


@pytest.mark.full
def test_a_node_that_is_lost_with_a_model_in_it_has_lost_its_trial(
    cluster: Any, store: Store, client: "MlflowClient", tmp_path: Path
) -> None:
    import ray

    node = cluster.add_node(num_cpus=1, resources={"far": 1})
    cluster.wait_for_nodes()
    executor = RayExecutor(spec(tmp_path), 3, shared=False)
    executor.upload_models_to(store)
    try:
        wait_for_slots(executor, 3)
        for name in ("a", "b", "c"):
            executor.submit(make_trial(name, params=PARAMS, epochs=1))
        deadline = time.monotonic() + 120
        while len(store.asked) < 3:
            assert time.monotonic() < deadline
            executor.poll(0.2)
        cluster.remove_node(node, allow_graceful=False)
        while any(n["Alive"] and "far" in n["Resources"] for n in ray.nodes()):
            time.sleep(0.2)
        for name in ("a", "b", "c"):
            store.say(name, place(client, client.tracking_uri))
        results = [event.result for event in finished(collect(executor, until=3)).values()]
        states = sorted(result.state.value for result in results)
        assert states == ["completed", "completed", "failed"]
        (failure,) = [result.failure for result in results if result.failure]
        assert failure.kind is FailureKind.WORKER_LOST
        assert "the trained model could not be copied from its node" in failure.message
    finally:
        executor.close()
