"""Property: wherever a driver is killed, and however often, the resumed study is whole."""

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.factories import make_study
from tests.fakes import FakeExecutor, RecordingListener
from tuning.core.seeds import derive_seed
from tuning.core.trial import Measurement, Phase, Trial, TrialRecord, TrialResult, TrialState
from tuning.driver.driver import Driver
from tuning.driver.source import TrialSource
from tuning.search.factory import make_searcher
from tuning.search.names import parse_searchers
from tuning.workflow.resume import pending

STUDY = make_study(budget={"trials": 8, "epochs": 3})


class Killed(BaseException):
    """What SIGKILL is to a process: nobody cleans up."""


class Memory(RecordingListener):
    """What MLflow would remember: everything up to the kill, and nothing after."""

    def __init__(self, kill_after: int | None) -> None:
        super().__init__()
        self._left = kill_after

    def _count(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Killed

    def trial_started(self, trial: Trial) -> None:
        self._count()
        super().trial_started(trial)

    def measured(self, trial: Trial, measurement: Measurement) -> None:
        self._count()
        super().measured(trial, measurement)

    def trial_finished(self, trial: Trial, result: TrialResult) -> None:
        self._count()
        super().trial_finished(trial, result)


def train(trial: Trial) -> list[float]:
    return [0.5 + trial.seed % 97 / 1000 + 0.01 * epoch for epoch in range(trial.epochs)]


def go_on(name: str, records: dict[str, TrialRecord], kill_after: int | None) -> None:
    """Runs the study from what is remembered, and remembers more."""
    (spec,) = parse_searchers([name])
    searcher = make_searcher(spec, STUDY)
    earlier = sorted(records.values(), key=lambda record: record.trial.number)
    searcher.restore(earlier)
    asked = max((record.trial.number + 1 for record in earlier), default=0)
    source = TrialSource(
        searcher,
        Phase.SEARCH,
        STUDY.budget.epochs,
        STUDY.budget.trials,
        asked=asked,
        pending=pending(earlier),
    )
    memory = Memory(kill_after)
    driver = Driver(FakeExecutor(train, slots=2), [memory], study_seed=5, fixed=STUDY.fixed)
    try:
        driver.run([source])
    except Killed:
        pass
    finally:
        for trial in memory.trials.values():
            interrupted = TrialResult(state=TrialState.INTERRUPTED)
            result = memory.results.get(trial.name, interrupted)
            records[trial.name] = TrialRecord(trial=trial, result=result)


@pytest.mark.parametrize("name", ["random", "optuna:tpe", "optuna:random+none"])
@settings(max_examples=25, deadline=None)
@example(kills=[9, 2])  # TPE had settled on what it had proposed before
@given(kills=st.lists(st.integers(0, 45), max_size=4))
def test_a_study_killed_anywhere_is_whole_in_the_end(name: str, kills: list[int]) -> None:
    records: dict[str, TrialRecord] = {}
    for kill_after in [*kills, None]:
        go_on(name, records, kill_after)
    trials = [record.trial for record in records.values()]
    assert sorted(trial.number for trial in trials) == list(range(8))
    ended = (TrialState.COMPLETED, TrialState.PRUNED)
    assert all(record.result.state in ended for record in records.values())
    configs = Counter(STUDY.config_id(trial.params) for trial in trials)
    assert max(configs.values()) == 1, "no configuration is trained twice"
    for trial in trials:
        assert trial.seed == derive_seed(5, trial.searcher, trial.number)
