"""The loop: every trial ends once, budgets hold, losses are retried, users can stop it."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.factories import make_result, make_study, make_trial
from tests.fakes import Curve, FakeExecutor, RecordingListener, lost
from tuning.core.errors import InterruptedStudyError, StudyFailedError
from tuning.core.interfaces import Finished, Measured, NoProposal
from tuning.core.seeds import derive_seed
from tuning.core.trial import (
    CONTINUE,
    Decision,
    Failure,
    FailureKind,
    Measurement,
    Phase,
    Proposal,
    Trial,
    TrialRecord,
    TrialResult,
    TrialState,
)
from tuning.driver.driver import Driver
from tuning.driver.failures import FailurePolicy
from tuning.driver.interrupts import StopSignal
from tuning.driver.search_limit import SearchLimit
from tuning.driver.source import TrialSource
from tuning.search.fixed_searcher import FixedSearcher
from tuning.search.random_searcher import RandomSearcher
from tuning.study.sections import Limits

STUDY = make_study()


def random_source(
    budget: int | None = 5, name: str = "random", phase: Phase = Phase.SEARCH, **changes: Any
) -> TrialSource:
    searcher = RandomSearcher(name, STUDY.space, 1, STUDY.baseline)
    return TrialSource(searcher, phase, STUDY.budget.epochs, budget, **changes)


def drive(
    executor: FakeExecutor, sources: Sequence[TrialSource], **options: Any
) -> tuple[Driver, RecordingListener]:
    listener = RecordingListener()
    driver = Driver(executor, [listener], study_seed=3, fixed=STUDY.fixed, **options)
    return driver, listener


def out_of_time(now: list[float]) -> SearchLimit:
    return SearchLimit(STUDY.objective, deadline=5.0, clock=lambda: now[0])


def rising(trial: Trial) -> list[float]:
    return [0.5, 0.6]


def test_a_budget_of_n_means_n_trials_and_each_ends_once() -> None:
    executor = FakeExecutor(rising)
    driver, listener = drive(executor, sources := [random_source(5)])
    records = driver.run(sources)
    assert len(records) == 5
    finished = [name for what, name in listener.events if what == "finished"]
    assert sorted(finished) == [f"random-{number:03d}" for number in range(5)]
    assert {record.result.state for record in records} == {TrialState.COMPLETED}


def test_trials_carry_fixed_params_and_their_own_seed() -> None:
    executor = FakeExecutor(rising)
    driver, _ = drive(executor, sources := [random_source(2)])
    driver.run(sources)
    first, second = sorted(executor.submitted, key=lambda trial: trial.number)
    assert first.params == {**STUDY.baseline, **STUDY.fixed}
    assert first.seed == derive_seed(3, "random", 0)
    assert first.seed != second.seed


def test_two_sources_share_the_slots_fairly() -> None:
    executor = FakeExecutor(rising, slots=2)
    driver, _ = drive(
        executor, sources := [random_source(4, name, Phase.CONFIRM) for name in "ab"]
    )
    driver.run(sources)
    order = [trial.searcher for trial in executor.submitted]
    assert sorted(order[:2]) == ["a", "b"]
    assert abs(order[:4].count("a") - 2) <= 1
    assert (order.count("a"), order.count("b")) == (4, 4)


def test_a_source_of_lower_priority_number_goes_first() -> None:
    executor = FakeExecutor(rising, slots=1)
    driver, _ = drive(
        executor,
        sources := [
            random_source(2, "later", Phase.CONFIRM, priority=1),
            random_source(2, "first", Phase.CONFIRM),
        ],
    )
    driver.run(sources)
    assert [trial.searcher for trial in executor.submitted] == ["first", "first"] + ["later"] * 2


def test_searchers_are_prepared_while_the_workers_train() -> None:
    executor = FakeExecutor(rising, slots=2)
    prepared: list[tuple[str, list[str]]] = []
    first = random_source(2, "first", Phase.BASELINE)
    later = [random_source(1, name, priority=1) for name in "ab"]
    for source in later:
        name = source.searcher.name
        source.prepare = lambda name=name: prepared.append(
            (name, [trial.name for trial in executor.submitted])
        )
    driver, _ = drive(executor, sources := [first, *later])
    driver.run(sources)
    both = ["first-000", "first-001"]
    assert prepared == [("a", both), ("b", both)]


def test_what_fails_while_it_is_prepared_ends_the_study() -> None:
    executor = FakeExecutor(rising)
    source = random_source(1, "later", priority=1)

    def prepare() -> None:
        raise ValueError("no such library")

    source.prepare = prepare
    driver, listener = drive(
        executor, sources := [random_source(2, "first", Phase.BASELINE), source]
    )
    with pytest.raises(ValueError, match="no such library"):
        driver.run(sources)
    started = {name for what, name in listener.events if what == "started"}
    assert started
    assert started == {name for what, name in listener.events if what == "finished"}


def test_nothing_is_prepared_for_a_search_whose_time_is_over() -> None:
    executor = FakeExecutor(rising)
    search = random_source(1, "search", priority=1)
    search.prepare = lambda: pytest.fail("it will not be asked")
    sources = [random_source(2, "first", Phase.BASELINE), search]
    driver, _ = drive(executor, sources)
    driver.run(sources, out_of_time([6.0]))
    assert [trial.searcher for trial in executor.submitted] == ["first", "first"]


def test_a_lost_worker_is_tried_again_with_the_same_seed() -> None:
    def curve(trial: Trial) -> list[float] | Failure:
        return lost() if trial.attempt < 2 else [0.5, 0.6]

    executor = FakeExecutor(curve)
    driver, listener = drive(executor, sources := [random_source(1)])
    (record,) = driver.run(sources)
    assert record.result.state is TrialState.COMPLETED
    assert [trial.attempt for trial in executor.submitted] == [0, 1, 2]
    assert len({trial.seed for trial in executor.submitted}) == 1
    assert [what for what, _ in listener.events].count("finished") == 1


def test_a_trial_that_loses_every_worker_fails() -> None:
    executor = FakeExecutor(lambda trial: lost() if trial.number == 1 else [0.5])
    driver, _ = drive(executor, sources := [random_source(3)])
    states = {record.trial.number: record.result.state for record in driver.run(sources)}
    assert states[1] is TrialState.FAILED
    assert states[0] is states[2] is TrialState.COMPLETED


@pytest.mark.parametrize("kind", [FailureKind.INFEASIBLE, FailureKind.ERROR])
def test_a_failed_trial_is_not_retried_and_the_study_goes_on(kind: FailureKind) -> None:
    failure = Failure(kind=kind, message="no")
    executor = FakeExecutor(lambda trial: failure if trial.number == 1 else [0.5])
    driver, _ = drive(executor, sources := [random_source(3)])
    records = driver.run(sources)
    assert len(executor.submitted) == 3
    assert sum(record.result.state is TrialState.FAILED for record in records) == 1


def test_failures_in_a_row_stop_the_study_and_everything_running_ends() -> None:
    failure = Failure(kind=FailureKind.ERROR, message="a bug")
    executor = FakeExecutor(lambda trial: failure if trial.number else [0.5] * 50, slots=2)
    source = random_source(12)
    source.epochs = 50
    driver, listener = drive(executor, [source])
    with pytest.raises(StudyFailedError, match=r"5 trials in a row failed.*a bug"):
        driver.run([source])
    started = {name for what, name in listener.events if what == "started"}
    assert started == set(listener.results)


class SilentExecutor(FakeExecutor):
    """Number 1 trains for ever and says nothing after its first epoch; time passes in polls."""

    def __init__(self, clock: list[float]) -> None:
        super().__init__(lambda trial: [0.5, 0.6, 0.7], slots=2)
        self._clock = clock
        self.cancelled: dict[str, str] = {}

    def poll(self, timeout_s: float) -> Sequence[Measured | Finished]:
        self._clock[0] += 1.0
        live = self._live
        hung = {n: v for n, v in live.items() if v[0].number == 1 and v[1]}
        self._live = {n: v for n, v in live.items() if n not in hung}
        events = super().poll(timeout_s)
        self._live |= hung
        return events

    def cancel(self, name: str, reason: str) -> None:
        self.cancelled[name] = reason
        super().cancel(name, reason)


@pytest.mark.parametrize("limits", [Limits(epoch_seconds=20), Limits(trial_seconds=30)])
def test_a_hung_trial_is_killed_at_its_limit_and_the_study_goes_on(limits: Limits) -> None:
    now = [0.0]
    executor = SilentExecutor(now)
    listener = RecordingListener()
    driver = Driver(
        executor,
        [listener],
        study_seed=3,
        fixed=STUDY.fixed,
        policy=FailurePolicy(limits),
        clock=lambda: now[0],
    )
    source = random_source(4)
    source.epochs = 3
    records = {record.trial.number: record.result for record in driver.run([source])}
    assert set(executor.cancelled) == {"random-001"}
    failure = records.pop(1).failure
    assert failure is not None
    assert failure.kind is FailureKind.LIMIT
    assert "limits." in failure.message
    assert {result.state for result in records.values()} == {TrialState.COMPLETED}
    assert len(executor.submitted) == 4, "what hangs once would hang again"


class SuspendedExecutor(FakeExecutor):
    """Between two polls the whole program is suspended, as by Ctrl-Z, for an hour."""

    def __init__(self, clock: list[float]) -> None:
        super().__init__(lambda trial: [0.5, 0.6, 0.7], slots=2)
        self._clock = clock

    def poll(self, timeout_s: float) -> Sequence[Measured | Finished]:
        self._clock[0] += 3600.0 if self._clock[0] == 3.0 else 1.0
        return super().poll(timeout_s)


def test_no_trial_is_overdue_because_the_program_was_suspended() -> None:
    now = [0.0]
    limits = Limits(epoch_seconds=20, trial_seconds=30)
    source = random_source(2)
    source.epochs = 3
    executor = SuspendedExecutor(now)
    driver, _ = drive(executor, [source], policy=FailurePolicy(limits), clock=lambda: now[0])
    records = driver.run([source])
    assert now[0] > 3600
    assert [record.result.state for record in records] == [TrialState.COMPLETED] * 2


def test_errors_are_retried_where_the_study_says_so() -> None:
    error = Failure(kind=FailureKind.ERROR, message="flaky")
    executor = FakeExecutor(lambda trial: error if trial.attempt < 2 else [0.5])
    driver, _ = drive(
        executor, sources := [random_source(1)], policy=FailurePolicy(on_error="retry")
    )
    (record,) = driver.run(sources)
    assert record.result.state is TrialState.COMPLETED
    assert len(executor.submitted) == 3


def test_an_error_ends_the_study_where_it_says_so() -> None:
    error = Failure(kind=FailureKind.ERROR, message="a bug")
    executor = FakeExecutor(lambda trial: error if trial.number == 1 else [0.5])
    driver, listener = drive(
        executor, sources := [random_source(9)], policy=FailurePolicy(on_error="stop")
    )
    with pytest.raises(StudyFailedError, match="a bug"):
        driver.run(sources)
    failure = listener.results["random-001"].failure
    assert failure is not None
    assert failure.kind is FailureKind.FATAL, "so that a resumed study trains it again"


def test_a_fatal_failure_stops_at_once() -> None:
    failure = Failure(kind=FailureKind.FATAL, message="the data is gone")
    driver, _ = drive(FakeExecutor(lambda trial: failure), sources := [random_source(9)])
    with pytest.raises(StudyFailedError, match="the data is gone"):
        driver.run(sources)


def test_the_first_interrupt_ends_the_epoch_and_the_trials_are_interrupted() -> None:
    stop = StopSignal()
    executor = FakeExecutor(lambda trial: [0.5] * 9)
    source = random_source(4)
    source.epochs = 9
    driver, listener = drive(executor, [source], stop=stop)
    original = executor.poll

    def poll(timeout_s: float) -> Sequence[object]:
        stop.level = 1 if len(listener.events) > 6 else 0
        return original(timeout_s)

    executor.poll = poll  # type: ignore[method-assign, assignment]
    with pytest.raises(InterruptedStudyError):
        driver.run([source])
    assert {result.state for result in listener.results.values()} == {TrialState.INTERRUPTED}
    assert all(0 < len(r.measurements) < 9 for r in listener.results.values())


def test_the_second_interrupt_kills() -> None:
    stop = StopSignal(level=0)
    executor = FakeExecutor(lambda trial: [0.5] * 9)
    driver, listener = drive(executor, sources := [random_source(4)], stop=stop)
    stop_after = executor.poll

    def poll(timeout_s: float) -> Sequence[object]:
        stop.level = 2
        return stop_after(timeout_s)

    executor.poll = poll  # type: ignore[method-assign, assignment]
    with pytest.raises(InterruptedStudyError):
        driver.run(sources)
    assert {result.state for result in listener.results.values()} == {TrialState.INTERRUPTED}


def test_after_the_deadline_no_search_trial_starts_but_the_baseline_does() -> None:
    now = [0.0]
    baseline = FixedSearcher(
        "baseline", [Proposal(params=STUDY.baseline, name=f"baseline-{i}") for i in range(3)]
    )
    sources = [random_source(9), TrialSource(baseline, Phase.BASELINE, 2, priority=1)]
    driver, listener = drive(FakeExecutor(rising, slots=1), sources, clock=lambda: now[0])
    now[0] = 10.0
    driver.run(sources, out_of_time(now))
    assert sorted(listener.results) == ["baseline-0", "baseline-1", "baseline-2"]


class PruneSecond:
    """Prunes trial 1 at its first epoch, and counts what it is told."""

    name = "pruning"

    def __init__(self) -> None:
        self.reports: list[tuple[int, int]] = []
        self.told: list[int] = []

    def ask(self, number: int) -> Proposal | NoProposal:
        if number == 3:
            return NoProposal.EXHAUSTED
        return Proposal(params={**STUDY.baseline, "units": 2 + 2 * number})

    def report(self, number: int, measurement: Measurement) -> Decision:
        self.reports.append((number, measurement.step))
        return Decision(stop=True, reason="bad") if number == 1 else CONTINUE

    def tell(self, number: int, result: TrialResult) -> None:
        self.told.append(number)

    def restore(self, records: object) -> None:
        raise AssertionError


def test_a_pruned_trial_stops_and_keeps_the_reason() -> None:
    searcher = PruneSecond()
    source = TrialSource(searcher, Phase.SEARCH, 2)
    driver, listener = drive(FakeExecutor(rising), [source])
    driver.run([source])
    pruned = listener.results["pruning-001"]
    assert (pruned.state, pruned.stop_reason) == (TrialState.PRUNED, "bad")
    assert len(pruned.measurements) == 1
    assert sorted(searcher.told) == [0, 1, 2]


@pytest.mark.parametrize("kind", [FailureKind.INFEASIBLE, FailureKind.ERROR, FailureKind.LIMIT])
def test_a_searcher_learns_of_every_end_also_of_failures(kind: FailureKind) -> None:
    searcher = PruneSecond()
    failure = Failure(kind=kind, message="no")
    executor = FakeExecutor(lambda trial: failure if trial.number == 2 else [0.5, 0.6])
    driver, _ = drive(executor, sources := [TrialSource(searcher, Phase.SEARCH, 2)])
    driver.run(sources)
    assert sorted(searcher.told) == [0, 1, 2]


def test_epochs_repeated_after_a_loss_are_reported_once() -> None:
    searcher = PruneSecond()
    seen: dict[tuple[str, int], int] = {}

    class LosesAfterOneEpoch(FakeExecutor):
        def _advance(self, trial: Trial, done: list[Measurement]) -> object:  # type: ignore[override]
            if trial.number == 0 and trial.attempt == 0 and len(done) == 1:
                return self._end(trial, done, failure=lost())
            seen[trial.name, trial.attempt] = len(done)
            return super()._advance(trial, done)

    source = TrialSource(searcher, Phase.SEARCH, 2, budget=1)
    driver, _ = drive(LosesAfterOneEpoch(rising), [source])
    driver.run([source])
    assert ("pruning-000", 1) in seen
    assert searcher.reports == [(0, 1), (0, 2)]


class Waits(PruneSecond):
    """Proposes one trial at a time, then claims to wait for ever."""

    name = "waiting"

    def ask(self, number: int) -> Proposal | NoProposal:
        if number > len(self.told) or number >= 2:
            return NoProposal.WAIT
        return Proposal(params=STUDY.baseline)


def test_waiting_is_asked_again_after_a_tell_and_ends_if_none_can_come() -> None:
    searcher = Waits()
    source = TrialSource(searcher, Phase.SEARCH, 1)
    driver, _ = drive(FakeExecutor(rising, slots=3), [source])
    assert len(driver.run([source])) == 2


def test_a_worker_that_dies_while_the_user_stops_costs_no_trial(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop = StopSignal()

    def curve(trial: Trial) -> list[float] | Failure:
        stop.level = 2
        return lost()

    executor = FakeExecutor(curve, slots=1)
    driver, listener = drive(executor, sources := [random_source(3)], stop=stop)
    with pytest.raises(InterruptedStudyError):
        driver.run(sources)
    assert listener.results["random-000"].state is TrialState.INTERRUPTED
    assert "trained again" not in caplog.text


class LateNews(FakeExecutor):
    """Tells of the first attempt again, after the second has begun."""

    def poll(self, timeout_s: float) -> Sequence[Measured | Finished]:
        events = list(super().poll(timeout_s))
        if self.submitted[-1].attempt == 1 and isinstance(events[0], Measured):
            result = TrialResult(state=TrialState.FAILED, failure=lost("late"))
            events.append(Finished(name=events[0].name, attempt=0, result=result))
        return events


def test_news_of_an_earlier_attempt_are_ignored() -> None:
    executor = LateNews(lambda trial: rising(trial) if trial.attempt else lost(), slots=1)
    driver, listener = drive(executor, sources := [random_source(1)])
    (record,) = driver.run(sources)
    assert record.result.state is TrialState.COMPLETED
    assert record.trial.attempt == 1
    assert [what for what, _ in listener.events].count("finished") == 1


def test_every_phase_looks_at_the_signal() -> None:
    stop = StopSignal()
    looked: list[bool] = []

    def curve(trial: Trial) -> list[float]:
        looked.append(stop.in_loop)
        return [0.5]

    driver, _ = drive(FakeExecutor(curve), [], stop=stop)
    for name in ("first", "second"):
        driver.run([random_source(1, name)])
        assert not stop.in_loop
    assert looked
    assert all(looked)


def fixed_source(name: str, count: int, **changes: Any) -> TrialSource:
    proposals = [Proposal(params=STUDY.baseline, name=f"{name}-{i}") for i in range(count)]
    return TrialSource(FixedSearcher(name, proposals), Phase.CONFIRM, 2, **changes)


def test_a_source_begins_when_those_before_it_have_ended_and_others_fill_the_slots() -> None:
    ended: list[str] = []

    def propose(records: Sequence[TrialRecord]) -> None:
        ended.extend(record.trial.name for record in records)
        searcher.propose([Proposal(params=STUDY.baseline, name="confirm-0")])

    first = fixed_source("first", 3)
    filler = fixed_source("filler", 4, priority=1)
    searcher = FixedSearcher("confirm")
    follower = TrialSource(searcher, Phase.CONFIRM, 2, priority=2, after=[first], on_begin=propose)
    executor = FakeExecutor(rising, slots=2)
    driver, listener = drive(executor, sources := [first, filler, follower])
    driver.restore([TrialRecord(trial=make_trial("earlier"), result=make_result())])
    driver.run(sources)
    order = [trial.name for trial in executor.submitted]
    assert order[:4] == ["first-0", "first-1", "first-2", "filler-0"]
    assert len(listener.results) == 8
    assert {"earlier", "first-0", "first-1", "first-2"} <= set(ended)
    assert order.index("confirm-0") > 3


def test_a_source_that_follows_others_goes_before_those_of_a_higher_number() -> None:
    first, last = fixed_source("first", 1), fixed_source("last", 2, priority=2)
    follower = fixed_source("follower", 1, priority=1, after=[first])
    executor = FakeExecutor(rising, slots=1)
    driver, _ = drive(executor, sources := [last, follower, first])
    driver.run(sources)
    order = [trial.name for trial in executor.submitted]
    assert order == ["first-0", "follower-0", "last-0", "last-1"]


def test_a_search_that_is_out_of_time_does_not_hold_up_what_follows_it() -> None:
    search = random_source(9)
    now = [10.0]
    follower = fixed_source("confirm", 2, priority=1, after=[search])
    driver, listener = drive(
        FakeExecutor(rising), sources := [search, follower], clock=lambda: now[0]
    )
    driver.run(sources, out_of_time(now))
    assert sorted(listener.results) == ["confirm-0", "confirm-1"]


def same_sources(count: int = 2, **changes: Any) -> list[TrialSource]:
    """Searchers that propose the same configuration first, and others then."""
    sources = []
    for index in range(count):
        first = Proposal(params=STUDY.baseline)
        other = Proposal(params={**STUDY.baseline, "units": 4 + 2 * index})
        searcher = FixedSearcher(f"s{index}", [first, other])
        sources.append(TrialSource(searcher, Phase.SEARCH, 2, **changes))
    return sources


def test_a_configuration_is_trained_once_and_its_result_reused() -> None:
    executor = FakeExecutor(rising, slots=2)
    driver, listener = drive(executor, sources := same_sources(3))
    records = driver.run(sources)
    assert len(records) == 6, "a reused trial counts"
    names = [trial.name for trial in executor.submitted]
    assert sorted(names) == ["s0-000", "s0-001", "s1-001", "s2-001"]
    for name in ("s1-000", "s2-000"):
        reused = listener.results[name]
        assert reused.reused_from == "s0-000"
        assert reused.state is TrialState.COMPLETED
        assert (reused.value, reused.duration_s) == (0.6, 0.0)
        assert [what for what, which in listener.events if which == name] == [
            "started",
            "epoch 1",
            "epoch 2",
            "finished",
        ]


def test_a_trial_whose_duplicate_fails_is_trained_itself() -> None:
    failure = Failure(kind=FailureKind.ERROR, message="no")
    executor = FakeExecutor(lambda trial: failure if trial.name == "s0-000" else [0.5, 0.6])
    driver, listener = drive(executor, sources := same_sources())
    driver.run(sources)
    assert listener.results["s0-000"].state is TrialState.FAILED
    assert listener.results["s1-000"].state is TrialState.COMPLETED
    assert not listener.results["s1-000"].reused_from


def test_a_resumed_study_reuses_what_was_trained_before() -> None:
    executor = FakeExecutor(rising, slots=2)
    driver, _ = drive(executor, sources := same_sources(1))
    earlier = driver.run(sources)
    later = FakeExecutor(rising, slots=2)
    driver, listener = drive(later, sources := same_sources(2)[1:])
    driver.restore(earlier)
    driver.run(sources)
    assert listener.results["s1-000"].reused_from == "s0-000"
    assert [trial.name for trial in later.submitted] == ["s1-001"]


def test_the_baselines_seeds_are_no_duplicates_of_anything() -> None:
    executor = FakeExecutor(rising, slots=2)
    repeats = [Proposal(params=STUDY.baseline, name=f"b-{i}", seed=i) for i in range(3)]
    baseline = TrialSource(FixedSearcher("baseline", repeats), Phase.BASELINE, 2)
    driver, _ = drive(executor, sources := [baseline, *same_sources(1)])
    driver.run(sources)
    assert len(executor.submitted) == 5


@pytest.mark.parametrize("level", [1, 2])
def test_a_trial_that_waits_for_its_duplicate_is_interrupted_by_a_stop(level: int) -> None:
    stop = StopSignal()
    executor = FakeExecutor(lambda trial: [0.5] * 9, slots=2)
    sources = same_sources(2)
    for source in sources:
        source.epochs = 9
    driver, listener = drive(executor, sources, stop=stop)
    original = executor.poll

    def poll(timeout_s: float) -> Sequence[object]:
        stop.level = level if len(listener.events) > 6 else 0
        return original(timeout_s)

    executor.poll = poll  # type: ignore[method-assign, assignment]
    with pytest.raises(InterruptedStudyError):
        driver.run(sources)
    started = {name for what, name in listener.events if what == "started"}
    assert "s1-000" in started
    assert started == set(listener.results)
    assert {result.state for result in listener.results.values()} == {TrialState.INTERRUPTED}


def test_a_fatal_failure_ends_those_that_wait_too() -> None:
    failure = Failure(kind=FailureKind.FATAL, message="the data is gone")
    executor = FakeExecutor(lambda trial: failure if trial.name == "s0-000" else [0.5] * 9)
    driver, listener = drive(executor, sources := same_sources())
    with pytest.raises(StudyFailedError, match="the data is gone"):
        driver.run(sources)
    started = {name for what, name in listener.events if what == "started"}
    assert started == set(listener.results)


def test_a_search_without_gains_ends_and_what_follows_begins() -> None:
    executor = FakeExecutor(lambda trial: [0.5], slots=1)
    search = random_source(50)
    follower = fixed_source("confirm", 1, priority=1, after=[search])
    driver, listener = drive(executor, sources := [search, follower])
    limit = SearchLimit(STUDY.objective, plateau_trials=4)
    driver.run(sources, limit)
    assert sorted(listener.results) == ["confirm-0", *(f"random-{i:03d}" for i in range(5))]
    assert limit.over() == "no gain in the last 4 trials"


class DeadOnArrival(FakeExecutor):
    """The first trial is given to a worker that is dead already, so its slot stays free."""

    def submit(self, trial: Trial) -> None:
        if trial.name == "random-000" and trial.attempt == 0:
            self.submitted.append(trial)
            self._events.append(self._lost(trial))
        else:
            super().submit(trial)

    def _lost(self, trial: Trial) -> Finished:
        result = TrialResult(state=TrialState.FAILED, failure=lost())
        return Finished(name=trial.name, attempt=trial.attempt, result=result)


@pytest.mark.parametrize("slots", [1, 2])
def test_a_slot_that_was_given_away_does_not_cost_the_retry(slots: int) -> None:
    executor = DeadOnArrival(rising, slots=slots)
    driver, listener = drive(executor, sources := [random_source(4)])
    records = driver.run(sources)
    assert {record.result.state for record in records} == {TrialState.COMPLETED}
    assert len(listener.results) == 4
    assert [t.attempt for t in executor.submitted if t.name == "random-000"] == [0, 1]


class LateExecutor(FakeExecutor):
    """Has no slot until it was polled a few times, and loses its first trial with its slot."""

    def __init__(self, curve: Curve, polls: int) -> None:
        super().__init__(curve, slots=1)
        self._polls = self._left = polls
        self._died = False

    @property
    def free_slots(self) -> int:
        return super().free_slots if self._left <= 0 else 0

    def poll(self, timeout_s: float) -> Sequence[Measured | Finished]:
        if self._left > 0:
            self._left -= 1
            return []
        if not self._died and self.submitted:
            self._died, self._left = True, self._polls
            trial, _ = self._live.pop(self.submitted[0].name)
            result = TrialResult(state=TrialState.FAILED, failure=lost("the node is gone"))
            return [Finished(name=trial.name, attempt=0, result=result)]
        return super().poll(timeout_s)


def test_a_study_waits_for_a_cluster_that_has_no_room_now() -> None:
    executor = LateExecutor(rising, polls=4)
    driver, _ = drive(executor, [])
    records = driver.run([random_source(3)])
    assert [record.result.state for record in records] == [TrialState.COMPLETED] * 3
    assert [trial.attempt for trial in executor.submitted] == [0, 1, 0, 0]


def test_a_stop_ends_the_wait_for_room() -> None:
    stop = StopSignal()

    class Stopped(LateExecutor):
        def poll(self, timeout_s: float) -> Sequence[Measured | Finished]:
            stop.level = 1
            return []

    driver, _ = drive(Stopped(rising, polls=9), [], stop=stop)
    with pytest.raises(InterruptedStudyError):
        driver.run([random_source(3)])
