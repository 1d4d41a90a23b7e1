"""Every executor holds the contract."""

from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest

from tests import toy_worker
from tests.factories import make_trial
from tests.fakes import FakeExecutor
from tuning.core.trial import FailureKind, Trial, TrialState
from tuning.executors.local import LocalExecutor
from tuning.executors.simulated import SimulatedExecutor
from tuning.study.sections import Objective
from tuning.testing.executors import ExecutorContract, LosesWorkers, alive, collect, finished
from tuning.training.messages import WorkerSpec

SPEC = WorkerSpec(
    task="tests.toy_task:ToyTask", task_options={}, objective=Objective(), backend="jax", folder=""
)


class TestFake(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Iterator[FakeExecutor]:
        yield FakeExecutor(lambda trial: [0.1] * trial.epochs, slots=2)


class _Flat:
    """Every epoch is as good, and as long, as every other."""

    def value(self, trial: Trial, epoch: int) -> float:
        return 0.1

    def seconds(self, trial: Trial) -> float:
        return 1.0


class TestSimulated(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Iterator[SimulatedExecutor]:
        yield SimulatedExecutor(_Flat(), 2)


class TestLocal(ExecutorContract, LosesWorkers):
    @pytest.fixture
    def executor(self) -> Iterator[LocalExecutor]:
        executor = LocalExecutor(SPEC, 2, target=toy_worker.main)
        yield executor
        executor.close()


def test_closing_leaves_no_process() -> None:
    executor = LocalExecutor(SPEC, 2, target=toy_worker.main)
    executor.submit(make_trial("a", params={"how": "hangs"}, epochs=9))
    pids = executor.pids
    assert len(pids) == 2
    executor.close()
    assert not any(map(alive, pids))


def test_a_worker_that_grew_is_replaced_after_its_trial() -> None:
    executor = LocalExecutor(SPEC, 1, memory_limit_mb=100, target=toy_worker.main)
    try:
        (before,) = executor.pids
        for name, memory_mb, same in (("small", 50, True), ("large", 500, False)):
            executor.submit(make_trial(name, params={"memory_mb": memory_mb}, epochs=1))
            assert finished(collect(executor))[name].result.state is TrialState.COMPLETED
            assert (executor.pids == [before]) is same
        executor.submit(make_trial("after", params={}, epochs=1))
        assert finished(collect(executor))["after"].result.state is TrialState.COMPLETED
    finally:
        executor.close()


def test_a_trial_that_holds_too_much_memory_is_killed_and_the_next_goes_on() -> None:
    executor = LocalExecutor(SPEC, 1, target=toy_worker.main, trial_memory_mb=250)
    try:
        executor.submit(make_trial("large", params={"how": "grows"}, epochs=3))
        result = finished(collect(executor))["large"].result
        assert result.failure is not None
        assert result.failure.kind is FailureKind.LIMIT
        assert "limits.memory_mb is 250" in result.failure.message
        executor.submit(make_trial("after", params={}, epochs=1))
        assert finished(collect(executor))["after"].result.state is TrialState.COMPLETED
    finally:
        executor.close()


def tells_its_core(connection: Connection, spec: WorkerSpec, core: int | None) -> None:
    connection.send(core)
    connection.recv()


@pytest.mark.parametrize(("workers", "expected"), [(0, [3, 5]), (1, [3]), (3, [None, None, None])])
def test_there_is_a_worker_for_each_core_and_each_has_its_own(
    workers: int, expected: list[int | None]
) -> None:
    executor = LocalExecutor(SPEC, workers, target=tells_its_core, cores=[3, 5])
    try:
        assert [slot.connection.recv() for slot in executor._slots] == expected
    finally:
        executor.close()


def dies_at_once(*_: object) -> None:
    raise SystemExit(7)


def test_workers_that_cannot_start_do_not_spin() -> None:
    executor = LocalExecutor(SPEC, 2, target=dies_at_once)
    try:
        for name in ("a", "b"):
            executor.submit(make_trial(name))
            result = finished(collect(executor))[name].result
            assert result.failure is not None
            assert "died" in result.failure.message
    finally:
        executor.close()
