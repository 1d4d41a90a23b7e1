"""A new study learns the search trials of an earlier one on the same space."""

from typing import Any

import pytest

from tests.factories import make_study
from tuning.core.errors import BadInputError
from tuning.core.trial import Phase, Proposal, TrialRecord, TrialState
from tuning.search.factory import make_searcher
from tuning.search.names import parse_searchers
from tuning.testing import make_result, make_trial
from tuning.workflow import warm_start
from tuning.workflow.warm_start import check_warm_start, warm_trials

STUDY = make_study(warm_start="abc")


def record(number: int, units: int, rate: float = 0.0, **fields: Any) -> TrialRecord:
    trial = make_trial(f"x-{number}", number=number, params={"units": units, "rate": rate})
    return TrialRecord(trial=trial, result=fields.pop("result", make_result([0.5 + units / 100])))


class Earlier:
    """The part of a record that is read."""

    def __init__(self, study: Any = STUDY) -> None:
        self.study = study
        self.trials = [
            record(0, 2),
            record(1, 8),
            record(2, 8),
            record(3, 4, result=make_result((), TrialState.FAILED)),
            record(4, 6, result=make_result([0.3], TrialState.PRUNED)),
        ]

    def in_phase(self, phase: Phase) -> list[TrialRecord]:
        assert phase is Phase.SEARCH
        return self.trials


@pytest.fixture
def earlier(monkeypatch: pytest.MonkeyPatch) -> Earlier:
    found = Earlier()
    monkeypatch.setattr(warm_start, "read_record", lambda client, run_id: found)
    return found


@pytest.mark.parametrize("searcher", ["optuna:random+none", "keras_tuner:random", "random"])
def test_the_trials_of_an_earlier_study_are_learned_and_not_repeated(
    earlier: Earlier, searcher: str
) -> None:
    trials = warm_trials(None, STUDY)  # type: ignore[arg-type]
    assert [(t.trial.number, t.trial.params["units"]) for t in trials] == [
        (-3, 2),
        (-2, 8),
        (-1, 6),
    ]
    (spec,) = parse_searchers([searcher])
    made = make_searcher(spec, STUDY)
    made.restore(trials)
    proposals = [made.ask(number) for number in range(8)]
    known = [{"units": t.trial.params["units"], "rate": 0.0} for t in trials]
    asked = [p.params for p in proposals if isinstance(p, Proposal)]
    assert len(asked) == 8
    # The baseline may be trained again, because the comparison of searchers begins with it.
    assert not [params for params in asked[1:] if params in known]


def test_a_default_may_differ_and_the_space_may_not(earlier: Earlier) -> None:
    space = STUDY.model_dump()["space"]
    space["units"]["default"] = 4
    earlier.study = make_study(space=space)
    assert warm_trials(None, STUDY)  # type: ignore[arg-type]
    space["units"]["high"] = 16
    earlier.study = make_study(space=space)
    with pytest.raises(BadInputError, match="warm_start: run abc has another space"):
        warm_trials(None, STUDY)  # type: ignore[arg-type]
    earlier.study = make_study(objective={"metric": "val_loss"})
    with pytest.raises(BadInputError, match="has another objective"):
        warm_trials(None, STUDY)  # type: ignore[arg-type]


def test_hyperband_of_keras_tuner_cannot_learn_them() -> None:
    specs = parse_searchers(["optuna+hyperband", "keras_tuner:hyperband"])
    with pytest.raises(BadInputError, match="keras_tuner:hyperband cannot learn"):
        check_warm_start(STUDY, specs)
    check_warm_start(make_study(), specs)
