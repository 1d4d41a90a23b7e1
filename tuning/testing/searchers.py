"""What every Searcher must do. A test class inherits these tests and makes its searcher."""

from collections.abc import Callable
from typing import Any

import pytest

from tuning.core.interfaces import NoProposal, Searcher
from tuning.core.trial import (
    Decision,
    Params,
    Proposal,
    TrialRecord,
    TrialResult,
    TrialState,
    config_hash,
)
from tuning.study.space import SearchSpace
from tuning.testing.examples import make_measurement, make_result, make_trial

MakeSearcher = Callable[..., Searcher]

SPACE = SearchSpace.model_validate(
    {
        "kind": {"type": "choice", "values": ["plain", "deep"]},
        "units": {"type": "int", "low": 2, "high": 8, "step": 2},
        "width": {"type": "int", "low": 1, "high": 100, "log": True},
        "rate": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1},
        "scale": {"type": "float", "low": 0.001, "high": 1.0, "log": True},
        "flag": {"type": "choice", "values": [False, True]},
        "layers": {"type": "int", "low": 1, "high": 3, "when": {"kind": ["deep"]}},
    }
)
FIRST: Params = {
    "kind": "plain",
    "units": 2,
    "width": 10,
    "rate": 0.0,
    "scale": 0.01,
    "flag": True,
}
SMALL = SearchSpace.model_validate({"units": {"type": "int", "low": 1, "high": 6}})
ODD = SearchSpace.model_validate(
    {
        "shape": {"type": "choice", "values": [[64, 32], [128], None]},
        "norm": {"type": "choice", "values": [None, "batch", 3]},
        "size": {"type": "choice", "values": [0, 0.5, 2], "ordered": True},
        "mode": {"type": "choice", "values": [True, "auto"]},
        "depth": {"type": "int", "low": 1, "high": 3, "when": {"shape": [[64, 32]]}},
        "start": {"type": "float", "low": 0.0, "high": 4e-9, "step": 1e-9},
    }
)
EPOCHS = 3


def value_of(params: Params) -> float:
    """A made-up objective: many units and little dropout are good."""
    return 0.5 + float(params["units"]) / 40 - float(params.get("rate", 0.0)) / 5


def play(searcher: Searcher, number: int, proposal: Proposal) -> TrialResult:
    """Trains a proposal by the made-up objective, as the driver would."""
    epochs = proposal.epochs or EPOCHS
    values: list[float] = []
    state = TrialState.COMPLETED
    for step in range(1, epochs + 1):
        values.append(value_of(proposal.params) - 0.1 / step)
        decision = searcher.report(number, make_measurement(step, values[-1]))
        assert isinstance(decision, Decision)
        if decision.stop and step < epochs:
            state = TrialState.PRUNED
            break
    result = make_result(values, state)
    searcher.tell(number, result)
    return result


def ask(searcher: Searcher, number: int) -> Proposal:
    """Asks a searcher that must have a proposal."""
    proposal = searcher.ask(number)
    assert isinstance(proposal, Proposal)
    return proposal


class SearcherContract:
    """Tests that every searcher must pass; inherit them, and define ``make_searcher``.

    The objective is ``val_accuracy``, to maximize.

    Attributes:
        repeats_configurations: Whether the searcher trains a configuration further.
        space: Search space of most tests.
        first: Configuration that the searcher must propose first.
        trials: Number of trials of the longest test.
    """

    repeats_configurations = False
    space = SPACE
    first = FIRST
    trials = 15

    def make_searcher(self, space: SearchSpace, first: Params, seed: int) -> Searcher:
        """Makes a new searcher for a space, with the configuration to propose first."""
        raise NotImplementedError

    @pytest.fixture
    def make(self) -> MakeSearcher:
        """Returns the function that makes searchers; all its arguments have defaults."""
        return lambda space=self.space, first=self.first, seed=11: self.make_searcher(
            space, first, seed
        )

    def test_the_first_proposal_is_the_baseline(self, make: MakeSearcher) -> None:
        assert ask(make(), 0).params == self.first

    def test_every_proposal_is_in_the_space(self, make: MakeSearcher) -> None:
        searcher = make()
        for number in range(self.trials):
            proposal = ask(searcher, number)
            assert self.space.canonical(proposal.params) == proposal.params
            play(searcher, number, proposal)

    def test_choices_of_any_plain_value_are_proposed_as_they_are(self, make: MakeSearcher) -> None:
        first = {"shape": [128], "norm": None, "size": 2.0, "mode": "auto", "start": 0.0}
        searcher = make(space=ODD, first=first)
        seen = []
        for number in range(12):
            proposal = ask(searcher, number)
            assert ODD.canonical(proposal.params) == proposal.params
            seen.append(proposal.params)
            searcher.tell(number, make_result([0.5 + number / 100]))
        assert seen[0] == first
        assert {str(params["shape"]) for params in seen} > {"[128]"}

    def test_several_may_run_at_once_and_end_in_any_order(self, make: MakeSearcher) -> None:
        searcher = make()
        proposals = {number: ask(searcher, number) for number in range(4)}
        for number in (2, 0, 3, 1):
            play(searcher, number, proposals[number])
        assert ask(searcher, 4).params

    def test_no_configuration_is_proposed_twice(self, make: MakeSearcher) -> None:
        if self.repeats_configurations:
            pytest.skip("this searcher trains a configuration further")
        searcher = make(space=SMALL, first={"units": 1})
        seen: list[str] = []
        for number in range(20):
            proposal = searcher.ask(number)
            if not isinstance(proposal, Proposal):
                break
            seen.append(config_hash(proposal.params))
            play(searcher, number, proposal)
        assert len(seen) == len(set(seen))

    def test_an_exhausted_space_ends(self, make: MakeSearcher) -> None:
        searcher = make(space=SMALL, first={"units": 1})
        answers: list[Any] = []
        for number in range(200):
            proposal = searcher.ask(number)
            answers.append(proposal)
            if not isinstance(proposal, Proposal):
                break
            play(searcher, number, proposal)
        assert answers[-1] is NoProposal.EXHAUSTED

    @pytest.mark.parametrize("state", [TrialState.FAILED, TrialState.INTERRUPTED])
    def test_a_trial_without_a_value_is_borne(self, make: MakeSearcher, state: TrialState) -> None:
        searcher = make()
        for number in range(6):
            proposal = ask(searcher, number)
            if number % 2:
                searcher.tell(number, make_result((), state))
            else:
                play(searcher, number, proposal)
        assert ask(searcher, 6).params

    def test_the_same_seed_proposes_the_same(self, make: MakeSearcher) -> None:
        histories = []
        for _ in range(2):
            searcher = make(seed=5)
            history = []
            for number in range(8):
                proposal = ask(searcher, number)
                history.append(dict(proposal.params))
                play(searcher, number, proposal)
            histories.append(history)
        assert histories[0] == histories[1]

    def test_an_interrupted_trial_is_restored_as_running(self, make: MakeSearcher) -> None:
        searcher = make()
        records: list[TrialRecord] = []
        for number in range(4):
            proposal = ask(searcher, number)
            trial = make_trial(f"x-{number:03d}", number=number, params=proposal.params)
            result = make_result((), TrialState.INTERRUPTED)
            if number % 2:
                result = play(searcher, number, proposal)
            started = 10 * number
            records.append(
                TrialRecord(trial=trial, result=result, started_ms=started, ended_ms=started + 5)
            )
        restored = make()
        restored.restore(records)
        for number in (0, 2):
            play(restored, number, Proposal(params=records[number].trial.params))
        if not self.repeats_configurations:
            proposal = ask(restored, 4)
            assert config_hash(proposal.params) not in {
                config_hash(record.trial.params) for record in records
            }

    def test_after_a_restore_nothing_is_repeated(self, make: MakeSearcher) -> None:
        if self.repeats_configurations:
            pytest.skip("this searcher trains a configuration further")
        searcher = make()
        records: list[TrialRecord] = []
        for number in range(6):
            proposal = ask(searcher, number)
            trial = make_trial(f"x-{number:03d}", number=number, params=proposal.params)
            result = play(searcher, number, proposal)
            records.append(TrialRecord(trial=trial, result=result))
        restored = make()
        restored.restore(records)
        done = {config_hash(record.trial.params) for record in records}
        for number in range(6, 12):
            proposal = ask(restored, number)
            assert config_hash(proposal.params) not in done
            done.add(config_hash(proposal.params))
            play(restored, number, proposal)
