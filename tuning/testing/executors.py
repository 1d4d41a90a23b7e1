"""What every Executor must do. An implementation inherits these tests."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tuning.core.interfaces import Executor, Finished, Measured
from tuning.core.trial import CONTINUE, Decision, FailureKind, Trial, TrialState
from tuning.testing.examples import make_trial

SECONDS = 90


def collect(
    executor: Executor, until: int = 1, decide: Callable[[Measured], Decision] = lambda e: CONTINUE
) -> list[Measured | Finished]:
    """Polls and answers until so many trials have finished."""
    events: list[Measured | Finished] = []
    deadline = time.monotonic() + SECONDS
    while sum(isinstance(event, Finished) for event in events) < until:
        assert time.monotonic() < deadline, f"no end in sight: {events}"
        for event in executor.poll(0.2):
            events.append(event)
            if isinstance(event, Measured):
                executor.reply(event.name, decide(event))
    return events


def wait_for_slots(executor: Executor, count: int) -> None:
    """Polls until so many slots are free; a new worker may need a moment."""
    deadline = time.monotonic() + SECONDS
    while executor.free_slots < count:
        assert time.monotonic() < deadline, f"{executor.free_slots} slots are free"
        executor.poll(0.2)


def finished(events: list[Measured | Finished]) -> dict[str, Finished]:
    found = [event for event in events if isinstance(event, Finished)]
    assert len({event.name for event in found}) == len(found), "a trial finished twice"
    return {event.name: event for event in found}


class ExecutorContract:
    """Tests that every executor must pass; inherit them.

    Define the fixture ``executor``, which yields an executor with two slots and closes it, and
    ``trial``, which makes a trial that behaves as told.
    """

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        raise NotImplementedError

    def trial(self, name: str, how: str = "well", epochs: int = 3) -> Trial:
        return make_trial(name, params={"how": how}, epochs=epochs)

    def test_a_trial_streams_its_epochs_and_finishes_once(self, executor: Executor) -> None:
        executor.submit(self.trial("a"))
        events = collect(executor)
        steps = [event.measurement.step for event in events if isinstance(event, Measured)]
        assert steps == [1, 2, 3]
        assert isinstance(events[-1], Finished)
        assert events[-1].result.state is TrialState.COMPLETED
        assert executor.poll(0.05) == []

    def test_slots_are_counted(self, executor: Executor) -> None:
        assert executor.slots == executor.free_slots == 2
        executor.submit(self.trial("a"))
        executor.submit(self.trial("b"))
        assert executor.free_slots == 0
        with pytest.raises(RuntimeError, match="no slot is free"):
            executor.submit(self.trial("c"))
        assert set(finished(collect(executor, until=2))) == {"a", "b"}
        assert executor.free_slots == 2

    def test_a_decision_to_stop_is_obeyed(self, executor: Executor) -> None:
        executor.submit(self.trial("a", epochs=50))
        events = collect(executor, decide=lambda e: Decision(stop=True, reason="bad"))
        result = finished(events)["a"].result
        assert result.state is TrialState.PRUNED
        assert len(result.measurements) < 50

    def test_a_cancelled_trial_still_finishes(self, executor: Executor) -> None:
        executor.submit(self.trial("a", "hangs", epochs=50))
        while not any(isinstance(event, Measured) for event in executor.poll(0.2)):
            pass
        executor.cancel("a", "enough")
        assert finished(collect(executor))["a"].result.state is TrialState.INTERRUPTED
        wait_for_slots(executor, 2)

    def test_what_is_unknown_is_ignored(self, executor: Executor) -> None:
        executor.reply("nobody", CONTINUE)
        executor.cancel("nobody", "why not")
        executor.submit(self.trial("a"))
        assert finished(collect(executor))["a"].result.state is TrialState.COMPLETED

    def test_closing_twice_is_fine(self, executor: Executor) -> None:
        executor.submit(self.trial("a", epochs=50))
        executor.close()
        executor.close()


class LosesWorkers:
    """Further tests for executors whose workers can die."""

    @pytest.mark.parametrize("how", ["killed", "exits"])
    def test_a_dead_worker_loses_its_own_trial_only(self, executor: Executor, how: str) -> None:
        executor.submit(make_trial("dies", params={"how": how}, epochs=3))
        executor.submit(make_trial("lives", params={"how": "well"}, epochs=3))
        ends = finished(collect(executor, until=2))
        failure = ends["dies"].result.failure
        assert failure is not None
        assert failure.kind is FailureKind.WORKER_LOST
        assert ends["lives"].result.state is TrialState.COMPLETED
        executor.submit(make_trial("next", params={"how": "well"}, epochs=1))
        executor.submit(make_trial("other", params={"how": "well"}, epochs=1))
        states = {e.result.state for e in finished(collect(executor, until=2)).values()}
        assert states == {TrialState.COMPLETED}


def alive(pid: int) -> bool:
    import psutil

    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False
