"""The command ``check``: what it says, what it leaves, and when the check is skipped."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kinds.cases import Case
from tests.kinds.test_kinds import study_of
from tests.stores import copy_store, empty_store
from tuning.core.errors import BadInputError
from tuning.workflow import check_study as module
from tuning.workflow.check_study import check_once, check_study
from tuning.workflow.plan import Options, Plan, make_plan

pytestmark = pytest.mark.slow


def plan_of(folder: Path, **study: Any) -> Plan:
    text = study_of(Case("Sigmoid", "accuracy", lambda y, p: 0.0))
    (folder / "study.yaml").write_text(yaml.safe_dump({**text, **study}))
    options = Options(study=folder / "study.yaml", cache_dir=folder / "cache", gpus="none")
    return make_plan(options, {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"})


def test_it_says_what_it_has_checked_and_makes_no_store(tmp_path: Path) -> None:
    text = "\n".join(check_study(plan_of(tmp_path)))
    assert "Sigmoid: train 284, validation 142, test 143" in text
    assert "binary, the output" in text
    assert "gives probabilities" in text
    assert "val_accuracy, to maximize" in text
    assert "which the study will make" in text
    assert not (tmp_path / "mlflow.db").exists()


def test_it_leaves_nothing_in_a_store(tmp_path: Path) -> None:
    copy_store(empty_store(), tmp_path / "mlflow.db")

    def counts() -> list[int]:
        with sqlite3.connect(tmp_path / "mlflow.db") as store:
            return [
                store.execute(f"select count(*) from {table}").fetchone()[0]
                for table in ("experiments", "runs", "logged_models")
            ]

    before = counts()
    assert "answers" in check_study(plan_of(tmp_path))[-1]
    assert counts() == before


def test_a_study_that_cannot_be_judged_is_bad_input(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, compare={"metric": "rmse"}, task="tests.kinds.tasks:TwoWaySoftmax")
    with pytest.raises(
        BadInputError, match="the model's output 'dense_1' is regression with 2 units"
    ):
        check_study(plan)


def test_the_same_study_is_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import ExitStack

    from tuning.workflow.preparation import prepare_study

    checked: list[str] = []
    monkeypatch.setattr(module, "check_models", lambda *parts, serves: checked.append("again"))
    for number, epochs in enumerate((3, 3, 4)):
        with ExitStack() as stack:
            plan = plan_of(tmp_path, budget={"trials": 2, "epochs": epochs})
            check_once(prepare_study(plan, "tune", stack))
        assert len(checked) == (1, 1, 2)[number]


def test_a_class_of_a_script_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="put the class into a file"):
        plan_of(tmp_path, task="__main__:Task")
