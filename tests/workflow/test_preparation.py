"""What is checked before any worker starts, and what a resumed study keeps of its beginning."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from tests.factories import STUDY, make_study
from tests.report.test_report import make_record
from tests.toy_task import ToyTask
from tests.workflow.whole_study import WholeStudy, whole_study
from tuning.cli.main import main
from tuning.core.errors import EXIT_OK, EXIT_REFUSED, BadInputError
from tuning.core.task import DataInfo, Split
from tuning.core.trial import Trial
from tuning.study.record import StudyRecord
from tuning.tracking import keys
from tuning.workflow.plan import Options, Plan, make_plan
from tuning.workflow.preparation import _as_begun

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture
def study(
    tmp_path: Path, client: "MlflowClient", monkeypatch: pytest.MonkeyPatch
) -> Iterator[WholeStudy]:
    with whole_study(tmp_path, client, monkeypatch, searchers=["random"]) as study:
        yield study


@pytest.mark.slow
def test_the_baseline_alone_does_not_even_load_the_test_split(
    study: WholeStudy, loaded: list[Split]
) -> None:
    study.run_baseline()
    assert study.trained
    assert set(loaded) == {"search"}


@pytest.mark.slow
def test_while_trials_are_trained_nobody_loads_the_test_split(
    study: WholeStudy, loaded: list[Split]
) -> None:
    def before(trial: Trial) -> None:
        if not study.trained:
            assert loaded.count("test") == 1, "its labels were looked at"
            loaded.clear()

    study.before = before
    study.run()
    assert not loaded, "the models are judged by a stand-in"


@pytest.mark.slow
def test_labels_that_cannot_be_judged_train_nothing_and_leave_no_run(
    study: WholeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = ToyTask.load

    def stars(task: ToyTask, split: Split) -> dict[str, tuple[Any, Any]]:
        return {part: (x, np.where(y, 5, 1)) for part, (x, y) in load(task, split).items()}

    monkeypatch.setattr(ToyTask, "load", stars)
    study.checks = True
    with pytest.raises(BadInputError, match="labels of the part 'train' contain"):
        study.run()
    assert not study.trained
    assert all(executor.closed for executor in study.executors)
    assert study.client.get_experiment_by_name("toy") is None


@pytest.mark.slow
def test_a_study_does_not_go_on_with_other_data(
    study: WholeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.run_until("tuning.workflow.phases._train")
    prepare = ToyTask.prepare

    def others(task: ToyTask) -> DataInfo:
        return replace(prepare(task), digest="1" * 64)

    monkeypatch.setattr(ToyTask, "prepare", others)
    with pytest.raises(BadInputError, match="the data are not those that run"):
        study.run(resume="last")
    assert len(study.executors) == 1
    assert not study.trained


def plan_of(folder: Path, **options: Any) -> Plan:
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(STUDY)))
    return make_plan(Options(study=file, cache_dir=folder / "cache", **options), {})


def begun(**tags: str) -> StudyRecord:
    study = make_study()
    return make_record({}, study=study, written=study, tags=tags)


with_tensorflow = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="TensorFlow is not installed"
)


@with_tensorflow
def test_a_resumed_study_keeps_its_data_and_its_backend(tmp_path: Path) -> None:
    record = begun(**{keys.BACKEND: "tensorflow", keys.DATASET_OPTION: "/its/reviews.csv"})
    plan = _as_begun(plan_of(tmp_path, resume="last"), record)
    assert plan.backend == "tensorflow"
    assert plan.options.dataset == "/its/reviews.csv"
    # The same data may lie elsewhere now; their digest is compared.
    moved = _as_begun(plan_of(tmp_path, resume="last", dataset="/moved.csv"), record)
    assert moved.options.dataset == "/moved.csv"


def test_a_resumed_study_does_not_change_its_backend(tmp_path: Path) -> None:
    record = begun(**{keys.BACKEND: "tensorflow"})
    with pytest.raises(BadInputError, match=r"backend: run r+ began with tensorflow; got 'jax'"):
        _as_begun(plan_of(tmp_path, resume="last", backend="jax"), record)


@pytest.mark.slow
def test_a_study_goes_on_with_other_code_only_if_told_and_says_so(
    study: WholeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from tests.toy_task import ToyTask\n\nclass Mine(ToyTask):\n    pass\n"
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    study.write(task="mine:Mine", searchers=["random"])
    study.run_until("tuning.workflow.phases.judge_models")
    (tmp_path / "mine.py").write_text(f"{code}# another comment\n")
    with pytest.raises(BadInputError, match=r"began with: mine\.py differs; restore it, or pass"):
        study.run(resume="last")
    outcome = study.run(resume="last", allow_change=True)
    record = study.record(outcome)
    assert record.tags[keys.CODE_CHANGES].startswith("mine.py (")
    report = study.client.download_artifacts(outcome.run_id, "report/report.md")
    assert "Code: changed while the study was interrupted: mine.py (" in Path(report).read_text()
    sys.modules.pop("mine")


@pytest.mark.slow
def test_a_user_without_a_name_runs_a_study(
    study: WholeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nameless)
    outcome = study.run()
    assert outcome.registered == "toy/1"
    assert main(["promote", "--study", str(study.folder / "study.yaml"), "--dry-run", "yes"]) in (
        EXIT_OK,
        EXIT_REFUSED,
    )
