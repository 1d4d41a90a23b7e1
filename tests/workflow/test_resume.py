"""Going on with a study: the same study, the same data, what is left."""

from dataclasses import replace

import pytest

from tests.factories import make_result, make_study, make_trial
from tests.fakes import FakeExecutor, RecordingListener
from tests.report.test_report import make_record
from tuning.core.errors import BadInputError
from tuning.core.task import DataInfo
from tuning.core.trial import Failure, FailureKind, Phase, Proposal, TrialRecord, TrialState
from tuning.driver.driver import Driver
from tuning.driver.source import TrialSource
from tuning.search.random_searcher import RandomSearcher
from tuning.study.file import Study
from tuning.workflow.resume import (
    CHANGEABLE_FIELDS,
    check_same,
    check_same_code,
    check_same_data,
    merge,
    pending,
)

STUDY = make_study()
RECORD = make_record({}, study=STUDY)


def test_the_same_study_goes_on() -> None:
    check_same(RECORD, STUDY, STUDY, STUDY, allow_change=False)


def test_a_changed_study_file_is_refused_with_its_difference() -> None:
    file = make_study(baseline={"units": 4, "rate": 0.0})
    with pytest.raises(BadInputError, match=r"not the one.*began with") as caught:
        check_same(RECORD, file, file, STUDY, allow_change=True)
    assert "-  units: 2" in str(caught.value)
    assert "+  units: 4" in str(caught.value)


def test_a_changed_budget_in_the_file_is_taken_over_if_allowed() -> None:
    file = make_study(budget={"trials": 5, "epochs": 2}, on_error="retry")
    began = replace(RECORD, study=STUDY.change(["confirm.seeds=4"]))
    with pytest.raises(BadInputError, match=r"the study file is not.*or pass --allow-change"):
        check_same(began, file, file, merge(began, file), allow_change=False)
    wanted = merge(began, file)
    check_same(began, file, file, wanted, allow_change=True)
    assert (wanted.budget.trials, wanted.on_error) == (5, "retry")
    assert wanted.confirm.seeds == 4, "what the command line said then still holds"


def test_what_the_command_line_said_survives_a_change_beside_it() -> None:
    began = replace(RECORD, study=STUDY.change(["budget.trials=9"]))
    wanted = merge(began, make_study(budget={"trials": 3, "epochs": 7}))
    assert (wanted.budget.trials, wanted.budget.epochs) == (9, 7)


def test_a_record_that_names_other_code_than_its_study_file_is_refused() -> None:
    began = replace(RECORD, study=STUDY.model_copy(update={"task": "os:system"}))
    with pytest.raises(
        BadInputError, match=r"began with other values of task than.*give the same --set again"
    ):
        check_same(began, STUDY, STUDY, merge(began, STUDY), allow_change=True)


def test_what_names_code_or_moves_the_gate_has_to_be_said_again() -> None:
    settings = ["task_options.rows=9", "gate.max_size_mb=5"]
    told = STUDY.change(settings)
    began = replace(RECORD, study=told)
    with pytest.raises(BadInputError, match=r"other values of gate, task_options than"):
        check_same(began, STUDY, STUDY, merge(began, STUDY), allow_change=True)
    check_same(began, STUDY, told, merge(began, STUDY).change(settings), allow_change=False)


def test_a_setting_that_is_said_again_vouches_for_itself_alone() -> None:
    told = STUDY.change(["gate.max_size_mb=5", "task_options.rows=9"])
    for more in ("gate.min_gain_low=-1", "task_options.journal=/elsewhere"):
        began = replace(RECORD, study=told.change([more]))
        wanted = merge(began, STUDY).change(["gate.max_size_mb=5", "task_options.rows=9"])
        with pytest.raises(BadInputError, match="the record in the store was changed"):
            check_same(began, STUDY, told, wanted, allow_change=True)


@pytest.mark.parametrize(
    "setting",
    [
        "budget.trials=9",
        "confirm.seeds=4",
        "gate.max_size_mb=5",
        "limits.memory_mb=900",
        "on_error=retry",
        "profiles={toy: {budget: {trials: 1}}}",
    ],
)
def test_what_may_change_may_change_in_the_file(setting: str) -> None:
    file = STUDY.change([setting])
    wanted = merge(RECORD, file)
    assert wanted == file
    with pytest.raises(BadInputError, match="pass --allow-change"):
        check_same(RECORD, file, file, wanted, allow_change=False)
    check_same(RECORD, file, file, wanted, allow_change=True)


# Another value of every field of a study file.
OTHERS = {
    "name": "other",
    "task": "tests.toy_task:Other",
    "task_options": "{rows: 9}",
    "space": "{units: {type: int, low: 2, high: 16, step: 2}, rate: {type: float, low: 0.0, "
    "high: 0.3, step: 0.1}}",
    "fixed": "{batch_size: 32}",
    "baseline": "{units: 4, rate: 0.0}",
    "references": "{other: {units: 4, rate: 0.0}}",
    "enqueue": "[{units: 4, rate: 0.0}]",
    "warm_start": "0123456789abcdef0123456789abcdef",
    "objective": "{metric: val_loss}",
    "searchers": "[random]",
    "search": "{folds: 3}",
    "budget": "{trials: 9, epochs: 2}",
    "confirm": "{seeds: 4, top_k: 1}",
    "training": "{batch_size: batch_size, patience: 3}",
    "resources": "{trial_cpus: 2}",
    "limits": "{memory_mb: 900}",
    "on_error": "retry",
    "compare": "{metric: f1}",
    "gate": "{max_size_mb: 5}",
    "keep_models": "confirmed",
    "registered_model": "other",
    "profiles": "{toy: {budget: {trials: 1}}}",
    "seed": "5",
}


@pytest.mark.parametrize("field", Study.model_fields)
def test_every_field_is_a_part_of_the_identity_or_may_change(field: str) -> None:
    file = STUDY.change([f"{field}={OTHERS[field]}"])
    assert file != STUDY
    wanted = merge(RECORD, file)
    if field == "resources":
        check_same(RECORD, file, file, wanted, allow_change=False)
        return
    with pytest.raises(BadInputError, match="restore it"):
        check_same(RECORD, file, file, wanted, allow_change=False)
    if field in CHANGEABLE_FIELDS:
        check_same(RECORD, file, file, wanted, allow_change=True)
    else:
        with pytest.raises(BadInputError, match="begin a new study"):
            check_same(RECORD, file, file, wanted, allow_change=True)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("budget.repeats=2", "budget.repeats: 1, now 2"),
        ("search.folds=3", "search.folds: None, now 3"),
        ("confirm.resample=split", "confirm.resample: none, now split"),
        ("confirm.gap=2", "confirm.gap: 0, now 2"),
    ],
)
def test_the_trainings_of_a_configuration_and_their_rows_cannot_change(
    setting: str, message: str
) -> None:
    file = STUDY.change([setting])
    with pytest.raises(BadInputError, match=message):
        check_same(RECORD, file, file, merge(RECORD, file), allow_change=True)


def test_other_code_is_named_and_may_be_allowed() -> None:
    before = {"wine.py": "a", "shared.py": "b", "only_then.py": "c"}
    now = {"wine.py": "x", "shared.py": "b", "only_now.py": "d"}
    with pytest.raises(BadInputError, match=r"began with: wine.py differs; restore it, or pass"):
        check_same_code("r", before, now, allow_change=False)
    assert check_same_code("r", before, now, allow_change=True) == ["wine.py"]
    assert check_same_code("r", before, before, allow_change=False) == []
    assert check_same_code("r", {}, now, allow_change=False) == [], "a record of 0.1"


def test_what_a_trial_gets_of_the_machines_may_differ_in_every_run() -> None:
    began = replace(RECORD, study=STUDY.change(["resources.trial_gpus=1"]))
    file = STUDY.change(["resources.trial_gpus=0.5"])
    wanted = merge(began, file).change(["resources.trial_cpus=2"])
    check_same(began, file, file, wanted, allow_change=False)
    assert (wanted.resources.trial_gpus, wanted.resources.trial_cpus) == (0.5, 2)


@pytest.mark.parametrize(
    ("phase", "kind", "again"),
    [
        (Phase.CONFIRM, FailureKind.LIMIT, True),
        (Phase.BASELINE, FailureKind.ERROR, True),
        (Phase.REFERENCE, FailureKind.WORKER_LOST, True),
        (Phase.CONFIRM, FailureKind.INFEASIBLE, False),
        (Phase.SEARCH, FailureKind.ERROR, False),
    ],
)
def test_fresh_seeds_that_failed_are_tried_again(
    phase: Phase, kind: FailureKind, again: bool
) -> None:
    result = make_result((), TrialState.FAILED)
    result = replace(result, failure=Failure(kind=kind, message="it broke"))
    record = TrialRecord(trial=make_trial(phase=phase), result=result)
    assert pending([record]) == ([record.trial] if again else [])


def test_another_budget_needs_to_be_allowed() -> None:
    wanted = STUDY.change(["budget.trials=9"])
    with pytest.raises(BadInputError, match=r"or pass --allow-change") as caught:
        check_same(RECORD, STUDY, STUDY, wanted, allow_change=False)
    assert "+  trials: 9" in str(caught.value)
    check_same(RECORD, STUDY, STUDY, wanted, allow_change=True)


def test_another_seed_or_searcher_is_never_allowed() -> None:
    for wanted in (STUDY.change(["seed=5"]), STUDY.change(["searchers=random"])):
        with pytest.raises(BadInputError, match="leave them out, or begin a new study"):
            check_same(RECORD, STUDY, STUDY, wanted, allow_change=True)


def test_other_data_are_refused() -> None:
    data = DataInfo(label="toy", name="toy", source="there", digest="e", sizes={})
    with pytest.raises(BadInputError, match=r"not those that run .* began with: then toy \(d\)"):
        check_same_data(RECORD, data)
    check_same_data(RECORD, RECORD.data)


def earlier(count: int, interrupted: set[int]) -> list[TrialRecord]:
    searcher = RandomSearcher("random", STUDY.space, 1, STUDY.baseline)
    records = []
    for number in range(count):
        proposal = searcher.ask(number)
        assert isinstance(proposal, Proposal)
        trial = make_trial(
            f"random-{number:03d}",
            number=number,
            params={**proposal.params, **STUDY.fixed},
            seed=number + 100,
        )
        state = TrialState.INTERRUPTED if number in interrupted else TrialState.COMPLETED
        values = () if number in interrupted else (0.5, 0.6)
        records.append(TrialRecord(trial=trial, result=make_result(values, state)))
    return records


def test_a_resumed_source_trains_what_was_interrupted_and_then_the_rest() -> None:
    records = earlier(4, interrupted={1, 3})
    searcher = RandomSearcher("random", STUDY.space, 1, STUDY.baseline)
    searcher.restore(records)
    source = TrialSource(searcher, Phase.SEARCH, 2, budget=6, asked=4, pending=pending(records))
    executor = FakeExecutor(lambda trial: [0.5, 0.6], slots=1)
    listener = RecordingListener()
    Driver(executor, [listener], study_seed=3, fixed=STUDY.fixed).run([source])
    assert [trial.name for trial in executor.submitted] == [
        "random-001",
        "random-003",
        "random-004",
        "random-005",
    ]
    assert [trial.seed for trial in executor.submitted[:2]] == [101, 103]
    assert [trial.attempt for trial in executor.submitted] == [1, 1, 0, 0]
    done = {tuple(record.trial.params.items()) for record in records}
    new = {tuple(trial.params.items()) for trial in executor.submitted[2:]}
    assert not done & new


@pytest.mark.parametrize(
    ("began", "now", "named"),
    [
        ("budget.epochs=3", "budget.epochs=7", "budget.epochs: 3, now 7"),
        ("confirm.long_run=9", "confirm.long_run=12", "confirm.long_run: 9, now 12"),
    ],
)
def test_the_number_of_epochs_never_changes(began: str, now: str, named: str) -> None:
    record = replace(RECORD, study=STUDY.change([began]), written=STUDY.change([began]))
    file = STUDY.change([now])
    with pytest.raises(BadInputError, match="begin a new study") as caught:
        check_same(record, file, file, merge(record, file), allow_change=True)
    assert named in str(caught.value)


def test_a_longer_training_may_be_asked_for_later() -> None:
    file = STUDY.change(["confirm.long_run=9"])
    check_same(RECORD, file, file, merge(RECORD, file), allow_change=True)
