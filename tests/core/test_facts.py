"""Seeds, hashes and messages: what other packages take for granted."""

import sys
from pathlib import Path

import pytest

from tests.toy_task import ToyTask
from tuning.core.errors import BadInputError, redact
from tuning.core.seeds import LARGEST_SEED, derive_seed
from tuning.core.task_class import import_task
from tuning.core.trial import Decision, TrialResult, TrialState, config_hash


def test_a_seed_is_a_function_of_its_purpose() -> None:
    seeds = [derive_seed(0, "optuna", number) for number in range(1000)]
    assert seeds == [derive_seed(0, "optuna", number) for number in range(1000)]
    assert len({*seeds, derive_seed(1, "optuna", 0), derive_seed(0, "random", 0)}) == 1002
    assert all(1 <= seed <= LARGEST_SEED for seed in seeds)


def test_the_hash_of_a_configuration_knows_types_and_not_the_order() -> None:
    assert config_hash({"a": 1, "b": 2.0}) == config_hash({"b": 2.0, "a": 1})
    hashes = {config_hash({"a": value}) for value in (0, 0.0, False, "0")}
    assert len(hashes) == 4


def test_addresses_are_shown_without_passwords() -> None:
    assert redact("http://me:secret@host/x and s3://key@b") == "http://***@host/x and s3://***@b"


def test_a_task_is_imported_by_its_name() -> None:
    assert import_task("tests.toy_task:ToyTask") is ToyTask
    for path in ("tests.toy_task:Other", "no_such_module:Task"):
        with pytest.raises(BadInputError, match=f"task: '{path}' cannot be imported"):
            import_task(path)


def test_facts_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        Decision(stop=True)
    with pytest.raises(ValueError, match="belongs to a failed trial"):
        TrialResult(state=TrialState.FAILED)
    with pytest.raises(ValueError, match="must be finite"):
        TrialResult(state=TrialState.COMPLETED, value=float("nan"))


def test_a_task_in_the_current_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "task_beside.py").write_text("class Task:\n    pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != ""])
    assert import_task("task_beside:Task").__name__ == "Task"
