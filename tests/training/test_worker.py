"""A worker's pipe and its answers, without Keras: late replies, lost drivers, failed trials."""

import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from tests.factories import make_measurement, make_result, make_study, make_trial
from tuning.core.task import Split
from tuning.core.trial import CONTINUE, Decision, FailureKind, Measurement, TrialState
from tuning.training import worker
from tuning.training.messages import Epoch, Reply, WorkerSpec
from tuning.training.worker import TrialWorker

STOP = Decision(stop=True, reason="pruned")
TRIAL = make_trial("a")


@pytest.fixture
def pipe() -> Iterator[tuple[Connection, Connection]]:
    """The driver's end and the worker's."""
    ends = Pipe()
    yield ends
    for end in ends:
        end.close()


def report(connection: Connection, step: int) -> Decision:
    return worker._report(connection, TRIAL, make_measurement(step))


def test_an_epoch_waits_for_its_decision(pipe: tuple[Connection, Connection]) -> None:
    driver, own = pipe

    def decide() -> None:
        message = driver.recv()
        assert message == Epoch("a", TRIAL.attempt, make_measurement(2))
        driver.send(Reply("a", 2, STOP))

    thread = threading.Thread(target=decide)
    thread.start()
    assert report(own, 2) == STOP
    thread.join()


def test_a_decision_on_an_earlier_epoch_counts_only_if_it_stops(
    pipe: tuple[Connection, Connection],
) -> None:
    driver, own = pipe
    driver.send(Reply("a", 1, CONTINUE))
    driver.send(Reply("a", 3, Decision(stop=False, reason="")))
    assert not report(own, 3).stop
    assert not own.poll(), "both replies were read"
    driver.send(Reply("a", 3, STOP))
    assert report(own, 4) == STOP


def test_a_decision_for_another_trial_is_not_obeyed(pipe: tuple[Connection, Connection]) -> None:
    driver, own = pipe
    driver.send(Reply("earlier", 9, STOP))
    driver.send(Reply("a", 1, CONTINUE))
    assert report(own, 1) == CONTINUE


def test_without_an_answer_the_training_goes_on(
    pipe: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "REPLY_SECONDS", 0.05)
    _, own = pipe
    assert report(own, 1) == CONTINUE


def test_a_lost_driver_ends_the_worker_whatever_the_task_catches(
    pipe: tuple[Connection, Connection],
) -> None:
    driver, own = pipe
    driver.close()
    with pytest.raises(worker._DriverGoneError) as caught:
        report(own, 1)
    assert not isinstance(caught.value, Exception)


@pytest.fixture
def trial_worker(tmp_path: Path) -> TrialWorker:
    study = make_study()
    return TrialWorker(
        WorkerSpec(
            task=study.task,
            task_options={},
            objective=study.objective,
            backend="jax",
            folder=str(tmp_path),
        )
    )


def train_with(monkeypatch: pytest.MonkeyPatch, train: Any) -> None:
    monkeypatch.setattr("tuning.training.fit.train", train)


def test_what_was_measured_before_an_error_is_kept(
    trial_worker: TrialWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*arguments: Any) -> None:
        record = arguments[5]
        assert record(make_measurement(1)) == STOP
        raise ValueError("the second epoch broke")

    train_with(monkeypatch, train)
    done = trial_worker.run(TRIAL, lambda measurement: STOP)
    assert (done.name, done.attempt) == ("a", TRIAL.attempt)
    assert done.result.state is TrialState.FAILED
    assert [m.step for m in done.result.measurements] == [1]
    failure = done.result.failure
    assert failure is not None
    assert (failure.kind, failure.message) == (
        FailureKind.ERROR,
        "ValueError: the second epoch broke",
    )
    assert "in train" in failure.traceback


def test_a_result_comes_back_with_the_workers_memory(
    trial_worker: TrialWorker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def train(task: Any, data: Any, trial: Any, *rest: Any) -> Any:
        assert set(data) == {"train", "validation"}
        assert rest[-2] == tmp_path / "a" and rest[-2].is_dir()
        return make_result((0.5, 0.6))

    train_with(monkeypatch, train)
    done = trial_worker.run(TRIAL, lambda measurement: CONTINUE)
    assert done.result == make_result((0.5, 0.6))
    assert done.memory_mb > 1


def test_the_data_are_loaded_once(
    trial_worker: TrialWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def train(task: Any, data: Any, *rest: Any) -> Any:
        seen.append(id(data))
        return make_result()

    train_with(monkeypatch, train)
    for name in ("a", "b"):
        trial_worker.run(make_trial(name), lambda measurement: CONTINUE)
    assert len(set(seen)) == 1


def test_the_test_split_is_never_loaded(
    trial_worker: TrialWorker, monkeypatch: pytest.MonkeyPatch, loaded: list[Split]
) -> None:
    train_with(monkeypatch, lambda *arguments: make_result())
    for name in ("a", "b"):
        trial_worker.run(make_trial(name), lambda measurement: CONTINUE)
    assert loaded == ["search"]


def test_a_lost_driver_is_no_failure_of_the_trial(
    trial_worker: TrialWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(measurement: Measurement) -> Decision:
        raise worker._DriverGoneError

    train_with(monkeypatch, lambda *arguments: arguments[5](make_measurement(1)))
    with pytest.raises(worker._DriverGoneError):
        trial_worker.run(TRIAL, gone)


def test_memory_is_freed_once_the_process_has_grown(
    trial_worker: TrialWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = iter([100.0, 140.0, 160.0, 110.0])
    freed: list[bool] = []
    train_with(monkeypatch, lambda *arguments: make_result())
    monkeypatch.setattr(worker, "memory_of", lambda pid=None: next(sizes))
    monkeypatch.setattr(worker, "free_memory", lambda: freed.append(True))
    held = [trial_worker.run(TRIAL, lambda m: CONTINUE).memory_mb for _ in range(3)]
    assert held == [100.0, 140.0, 110.0]
    assert len(freed) == 1


def test_a_process_that_has_ended_holds_no_memory() -> None:
    assert worker.memory_of(2**22 + 1) == 0.0
    assert worker.memory_of() > 1
