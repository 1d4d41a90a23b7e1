"""Real workers: spawned processes with Keras on each backend, or with its stand-in."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.factories import make_study, make_trial
from tests.fakes import RecordingListener
from tests.stand_in import STAND_IN
from tuning.core.errors import BadInputError
from tuning.core.interfaces import Finished, Measured
from tuning.core.trial import FailureKind, Phase, Proposal, TrialState
from tuning.driver.driver import Driver
from tuning.driver.failures import FailurePolicy
from tuning.driver.source import TrialSource
from tuning.executors.local import LocalExecutor
from tuning.search.fixed_searcher import FixedSearcher
from tuning.search.random_searcher import RandomSearcher
from tuning.study.sections import Limits
from tuning.testing.executors import alive, collect, finished
from tuning.training.messages import WorkerSpec

pytestmark = pytest.mark.slow

STUDY = make_study()


def spec(
    folder: Path, backend: str = "jax", task: str = STUDY.task, keras: bool = False
) -> WorkerSpec:
    return WorkerSpec(
        task=task,
        task_options={},
        objective=STUDY.objective,
        rule=STUDY.compare,
        backend=backend,
        folder=str(folder),
        cache_dir=str(folder / "compiled"),
        path=() if keras else (str(STAND_IN),),
    )


@pytest.mark.full
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_a_search_in_two_workers(tmp_path: Path, backend: str) -> None:
    executor = LocalExecutor(spec(tmp_path, backend, keras=True), 2)
    listener = RecordingListener()
    searcher = RandomSearcher("random", STUDY.space, 1, STUDY.baseline)
    driver = Driver(executor, [listener], study_seed=1, fixed=STUDY.fixed)
    try:
        pids = set(executor.pids)
        records = driver.run([TrialSource(searcher, Phase.SEARCH, 2, 4)])
        assert set(executor.pids) == pids, "workers stay"
    finally:
        executor.close()
    assert [record.result.state for record in records] == [TrialState.COMPLETED] * 4
    assert all(Path(record.result.artifacts["model"]).exists() for record in records)
    assert {record.result.worker for record in records} <= {"local-0", "local-1"}
    assert not any(map(alive, pids))


def test_failures_of_every_kind_are_data(tmp_path: Path) -> None:
    executor = LocalExecutor(spec(tmp_path), 1)
    try:
        for params, kind in (
            ({"units": 1000, "rate": 0.0}, FailureKind.INFEASIBLE),
            ({"units": -1, "rate": 0.0}, FailureKind.ERROR),
            ({"units": 2}, FailureKind.ERROR),
            ({"units": 97, "rate": 0.0}, FailureKind.WORKER_LOST),
            ({"units": 96, "rate": 0.0}, FailureKind.BAD_INPUT),
        ):
            executor.submit(make_trial("a", params=params))
            failure = finished(collect(executor))["a"].result.failure
            assert failure is not None
            assert failure.kind is kind
            assert "Traceback" in failure.traceback
        executor.submit(make_trial("fine"))
        assert finished(collect(executor))["fine"].result.state is TrialState.COMPLETED
    finally:
        executor.close()


def test_a_model_that_cannot_be_judged_ends_the_study_before_it_is_trained(tmp_path: Path) -> None:
    executor = LocalExecutor(spec(tmp_path, keras=True), 1)
    listener = RecordingListener()
    searcher = FixedSearcher("baseline", [Proposal(params={"units": 96, "rate": 0.0})] * 3)
    driver = Driver(executor, [listener], study_seed=1, fixed=STUDY.fixed)
    try:
        with pytest.raises(BadInputError, match=r"^task: the model.s output .* is linear"):
            driver.run([TrialSource(searcher, Phase.BASELINE, 2)])
    finally:
        executor.close()
    assert [kind for kind, _ in listener.events] == ["started", "finished"]


def test_a_task_that_cannot_be_loaded_is_fatal(tmp_path: Path) -> None:
    executor = LocalExecutor(spec(tmp_path, task="tests.toy_task:NoSuchTask"), 1)
    try:
        executor.submit(make_trial("a"))
        failure = finished(collect(executor))["a"].result.failure
        assert failure is not None
        assert failure.kind is FailureKind.FATAL
        assert "NoSuchTask" in failure.message
    finally:
        executor.close()


def test_a_worker_killed_in_mid_training_is_seen(tmp_path: Path) -> None:
    executor = LocalExecutor(spec(tmp_path), 1)
    try:
        executor.submit(make_trial("a", epochs=10_000))
        while not any(isinstance(event, Measured) for event in executor.poll(1)):
            pass
        (pid,) = executor.pids
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        ends: list[Finished] = []
        while not ends and time.monotonic() < deadline:
            ends = [event for event in executor.poll(1) if isinstance(event, Finished)]
        assert ends[0].result.failure is not None
        assert ends[0].result.failure.kind is FailureKind.WORKER_LOST
        assert "-9" in ends[0].result.failure.message
    finally:
        executor.close()


def test_a_worker_out_of_memory_is_replaced_and_the_trial_tried_again(tmp_path: Path) -> None:
    executor = LocalExecutor(spec(tmp_path), 1)
    listener = RecordingListener()
    params = [{"units": 99, "rate": 0.0}, {"units": 2, "rate": 0.0}]
    searcher = FixedSearcher("list", [Proposal(params=each) for each in params])
    driver = Driver(executor, [listener], study_seed=1, fixed=STUDY.fixed)
    try:
        pids = set(executor.pids)
        records = {r.trial.number: r for r in driver.run([TrialSource(searcher, Phase.SEARCH, 2)])}
        assert not pids & set(executor.pids), "who knows what else it lost"
    finally:
        executor.close()
    failure = records[0].result.failure
    assert failure is not None
    assert failure.kind is FailureKind.OUT_OF_MEMORY
    assert "Unable to allocate" in failure.message
    assert records[0].trial.attempt == 1, "others may have used the memory"
    assert records[1].result.state is TrialState.COMPLETED


def test_a_deadlocked_trial_is_killed_at_its_limit(tmp_path: Path) -> None:
    executor = LocalExecutor(spec(tmp_path), 1)
    params = [{"units": 98, "rate": 0.0}, {"units": 2, "rate": 0.0}]
    searcher = FixedSearcher("list", [Proposal(params=each) for each in params])
    policy = FailurePolicy(Limits(epoch_seconds=4))
    driver = Driver(executor, [], study_seed=1, fixed=STUDY.fixed, policy=policy)
    try:
        records = {r.trial.number: r for r in driver.run([TrialSource(searcher, Phase.SEARCH, 2)])}
    finally:
        executor.close()
    failure = records[0].result.failure
    assert failure is not None
    assert failure.kind is FailureKind.LIMIT
    assert records[1].result.state is TrialState.COMPLETED
