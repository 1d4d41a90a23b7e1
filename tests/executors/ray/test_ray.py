"""The Ray executor holds the contract, on a cluster of two nodes that lose their workers."""

import importlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import toy_worker
from tests.factories import make_trial
from tests.ray_nodes import joined
from tests.stand_in import ROOT, STAND_IN
from tests.toy_task import ToyTask
from tuning.core.errors import BadInputError, StudyFailedError
from tuning.core.trial import FailureKind, Trial, TrialState
from tuning.executors.ray.executor import LOOK_SECONDS, RayExecutor
from tuning.executors.ray.files import describe, node_folder, pack, receive, sweep
from tuning.study.sections import Objective
from tuning.testing.executors import (
    ExecutorContract,
    LosesWorkers,
    collect,
    finished,
    wait_for_slots,
)
from tuning.training.messages import WorkerSpec

pytestmark = pytest.mark.slow


def spec(folder: Path | str = "", **options: object) -> WorkerSpec:
    return WorkerSpec(
        task="tests.toy_task:ToyTask",
        task_options=options,
        objective=Objective(),
        backend="jax",
        folder=str(folder),
        path=(str(STAND_IN), str(ROOT)),
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with joined() as cluster:
        yield cluster


@pytest.mark.full
@pytest.mark.usefixtures("cluster")
class TestRay(ExecutorContract, LosesWorkers):
    @pytest.fixture
    def executor(self) -> Iterator[RayExecutor]:
        executor = RayExecutor(spec(), target=toy_worker.main)
        wait_for_slots(executor, 2)
        yield executor
        executor.close()


@pytest.mark.usefixtures("cluster")
def test_what_no_node_can_train_is_refused_at_once() -> None:
    with pytest.raises(BadInputError, match="no node of the Ray cluster has 1 CPUs and 2 GPUs"):
        RayExecutor(spec(), trial_gpus=2)


@pytest.mark.usefixtures("cluster")
def test_slots_beyond_the_room_of_the_cluster_wait_for_it() -> None:
    executor = RayExecutor(spec(), 3, target=toy_worker.main)
    try:
        assert executor.slots == 3
        wait_for_slots(executor, 2)
        for name in ("a", "b"):
            executor.submit(make_trial(name, epochs=1))
        assert len(finished(collect(executor, until=2))) == 2
    finally:
        executor.close()


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("shared", [None, False])
def test_models_and_checkpoints_come_back_and_a_trial_goes_on_from_them(
    tmp_path: Path, shared: bool | None
) -> None:
    options: dict[str, object] = {"units": 4, "rate": 0.0}
    executor = RayExecutor(spec(tmp_path), 1, shared=shared)
    try:
        wait_for_slots(executor, 1)
        first = make_trial("a", params=options, epochs=2, keep_checkpoint=True)
        executor.submit(first)
        result = finished(collect(executor))["a"].result
        assert result.state is TrialState.COMPLETED, result.failure
        assert Path(result.artifacts["model"]) == tmp_path / "a" / "model.keras"
        assert Path(result.artifacts["model"]).stat().st_size > 1_000
        assert (tmp_path / "a" / "checkpoint.npz").exists()
        executor.submit(make_trial("b", params=options, epochs=5, resume_from="a"))
        result = finished(collect(executor))["b"].result
        assert result.state is TrialState.COMPLETED, result.failure
        assert result.inherited == 2
        assert [m.step for m in result.measurements] == [1, 2, 3, 4, 5]
    finally:
        executor.close()


class FileTask(ToyTask):
    """Its rows are as many as a file of the driver's machine says."""

    def __init__(self, *, prepared: Path, **options: Any) -> None:
        super().__init__(rows=int((prepared / "rows").read_text()), **options)


@pytest.mark.usefixtures("cluster")
def test_files_of_the_driver_reach_the_workers(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows").write_text("120")
    told = WorkerSpec(
        task="tests.executors.ray.test_ray:FileTask",
        task_options={"prepared": tmp_path / "data"},
        objective=Objective(),
        backend="jax",
        folder=str(tmp_path),
        path=(str(STAND_IN), str(ROOT)),
    )
    executor = RayExecutor(told, 1, shared=False)
    try:
        wait_for_slots(executor, 1)
        executor.submit(make_trial("a", params={"units": 4, "rate": 0.0}, epochs=1))
        result = finished(collect(executor))["a"].result
        assert result.state is TrialState.COMPLETED, result.failure
    finally:
        executor.close()


@pytest.mark.usefixtures("cluster")
def test_workers_that_cannot_start_are_given_up_with_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A module that the nodes have not got.
    (tmp_path / "only_here.py").write_text("def main(*arguments): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("only_here")
    executor = RayExecutor(spec(tmp_path), 1, target=module.main)
    try:
        with pytest.raises(StudyFailedError, match=r"no Ray worker can start: .*only_here"):
            for _ in range(200):
                executor.poll(0.5)
    finally:
        executor.close()


def test_a_file_bundle_is_unpacked_once_and_only_where_it_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "numbers").write_text("1 2 3")
    bundle, archive = describe(folder), pack(folder)
    fetched: list[int] = []

    def fetch() -> bytes:
        fetched.append(1)
        return archive

    assert receive(bundle, fetch, tmp_path / "node") == folder
    assert not fetched
    (folder / "numbers").write_text("another file of the same name")
    for _ in range(2):
        there = receive(bundle, fetch, tmp_path / "node")
        assert there != folder
        assert (there / "numbers").read_text() == "1 2 3"
    assert len(fetched) == 1


def test_what_was_not_used_for_long_is_swept_from_a_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("trials-old", "trials-new", "received/old", "received/new", "else"):
        path = node_folder() / name
        path.mkdir(parents=True)
        (path / "file").write_text("x")
        if not name.endswith("new"):
            os.utime(path, (0, 0))
    sweep()
    left = {str(p.relative_to(node_folder())) for p in node_folder().rglob("*") if p.is_dir()}
    assert left == {"trials-new", "received", "received/new", "else"}


@pytest.mark.full
def test_a_lost_node_loses_its_trial_and_the_other_goes_on(cluster: Any) -> None:
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    executor = RayExecutor(spec(), 3, target=toy_worker.main)
    try:
        wait_for_slots(executor, 3)
        names = ("a", "b", "c")
        for name in names:
            executor.submit(make_trial(name, params={"how": "hangs"}, epochs=5))
        heard: set[str] = set()
        while len(heard) < 3:
            heard |= {event.name for event in executor.poll(0.5)}
        cluster.remove_node(node, allow_graceful=False)
        (lost,) = finished(collect(executor)).values()
        assert lost.result.failure is not None
        assert lost.result.failure.kind is FailureKind.WORKER_LOST
        assert executor.free_slots == 0, "its slot waits for another node"
        for name in set(names) - {lost.name}:
            executor.cancel(name, "enough")
        assert len(finished(collect(executor, until=2))) == 2
        wait_for_slots(executor, 2)
        executor.submit(again(lost.name))
        assert finished(collect(executor))[lost.name].result.state is TrialState.COMPLETED
    finally:
        executor.close()


def again(name: str) -> Trial:
    return make_trial(name, params={"how": "well"}, epochs=2, attempt=1)


@pytest.mark.usefixtures("cluster")
def test_an_actor_that_is_killed_takes_its_worker_with_it() -> None:
    import psutil
    import ray

    executor = RayExecutor(spec(), 1, target=toy_worker.main)
    try:
        wait_for_slots(executor, 1)
        actor = next(
            process
            for process in psutil.process_iter(["cmdline"])
            if any("ray::Node" in part for part in process.info["cmdline"] or [])
        )
        children = actor.children(recursive=True)
        assert children
        os.kill(actor.pid, signal.SIGKILL)
        _, left = psutil.wait_procs(children, timeout=10)
        assert not left
        # It is noticed, though nothing was asked of it, and the next trial gets a new one.
        until = time.monotonic() + 3 * LOOK_SECONDS
        while time.monotonic() < until:
            executor.poll(0.2)
        wait_for_slots(executor, 1)
        executor.submit(make_trial("a", epochs=1))
        result = finished(collect(executor))["a"].result
        assert result.state is TrialState.COMPLETED, result.failure
    finally:
        executor.close()
    assert ray.is_initialized(), "a cluster that was there before stays"
