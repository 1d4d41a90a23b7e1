"""The examples are short, pass the check, and run to their verdict."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.process import Tune
from tests.stand_in import ROOT
from tests.stores import copy_store, empty_store

EXAMPLES = ROOT / "examples"
NAMES = sorted(file.stem for file in EXAMPLES.glob("*.yaml"))


def test_every_example_is_listed_and_short() -> None:
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    assert NAMES
    for name in NAMES:
        assert f"| `{name}` |" in listed
        lines = sum(
            len((EXAMPLES / f"{name}.{kind}").read_text("utf-8").splitlines())
            for kind in ("py", "yaml")
        )
        assert lines <= 60


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_an_example_runs_to_its_verdict(name: str, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path, dirs_exist_ok=True)
    shutil.copy(tmp_path / f"{name}.yaml", tmp_path / "study.yaml")
    copy_store(empty_store(), tmp_path / "mlflow.db")
    settings = ["--trials", "2", "--epochs", "2", "--seeds", "2"]
    tune = Tune(tmp_path, *settings, keras=True, PYTHONPATH=f"{ROOT}:{tmp_path}")
    assert tune.end(280) == 0, tune.output
    assert "Verdict: " in tune.output


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "diabetes" else [pytest.mark.full]) for name in NAMES],
)
def test_an_example_passes_the_check(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuning.workflow.check_study import check_study
    from tuning.workflow.plan import Options, make_plan

    monkeypatch.syspath_prepend(str(EXAMPLES))
    options = Options(study=EXAMPLES / f"{name}.yaml", cache_dir=tmp_path, gpus="none")
    plan = make_plan(options, {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"})
    assert any(line.startswith("model ") for line in check_study(plan))
    sys.modules.pop(name)
