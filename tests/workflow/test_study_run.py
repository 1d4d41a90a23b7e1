"""What a study says of its environment, and how it says to go on."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
import yaml

import tuning
from tests.factories import make_study
from tests.workflow.whole_study import whole_study
from tuning.study.file import load_study
from tuning.tracking import keys
from tuning.tracking.store import Parent
from tuning.workflow.plan import Options
from tuning.workflow.preparation import PreparedStudy
from tuning.workflow.study_run import _environment, _resume_command

if TYPE_CHECKING:
    from mlflow import MlflowClient


def test_the_environment_is_packages_and_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-key-of-somebody")
    head, *packages = _environment().splitlines()
    assert head.startswith("# Python 3.")
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", line) for line in packages)
    assert any(line.startswith("mlflow==") for line in packages)
    assert "a-key-of-somebody" not in head + "".join(packages)


def test_the_command_to_go_on_names_the_run_and_says_every_setting_again() -> None:
    settings = ("confirm.top_k=3", "gate={max_size_mb: 5}")
    options = Options(study=Path("my study.yaml"), settings=settings)
    prepared = cast(PreparedStudy, SimpleNamespace(plan=SimpleNamespace(options=options)))
    command = _resume_command(prepared, Parent("the-run", "1", created=True))
    assert shlex.split(command) == [
        *("python", "-m", "tuning", "tune", "--study", "my study.yaml"),
        *("--resume", "the-run", "--set", settings[0], "--set", settings[1]),
    ]


@pytest.mark.slow
def test_the_parent_run_says_what_the_study_is_and_how_it_began(
    tmp_path: Path, client: "MlflowClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("budget.trials=2", "seed=4")
    options = {"dataset": "mine", "backend": "jax", "command": "tuning tune …"}
    with whole_study(tmp_path, client, monkeypatch) as study:
        study.run_until("tuning.workflow.phases._train", settings=settings, **options)
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    tags = run.data.tags
    assert {tag: tags[tag] for tag in (keys.STUDY, keys.KIND, keys.COMMAND, keys.BACKEND)} == {
        keys.STUDY: "toy",
        keys.KIND: "tune",
        keys.COMMAND: "tuning tune …",
        keys.BACKEND: "jax",
    }
    assert (tags[keys.DATASET], tags[keys.DATASET_DIGEST]) == ("toy", "0" * 64)
    assert (tags[keys.DATASET_OPTION], tags[keys.VERSION]) == ("mine", tuning.__version__)
    assert run.inputs is not None
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("toy", "0" * 36)

    def artifact(path: str) -> Path:
        return Path(client.download_artifacts(run.info.run_id, path, str(tmp_path)))

    # As it is run, and as it was written.
    run_study, written = (load_study(artifact(path)) for path in ("study.yaml", keys.WRITTEN_FILE))
    assert (run_study.budget.trials, run_study.seed) == (2, 4)
    assert (written.budget.trials, written.seed) == (make_study().budget.trials, 0)
    assert yaml.safe_load(artifact("data.json").read_text())["digest"] == "0" * 64
    assert artifact(keys.ENVIRONMENT_FILE).read_text() == _environment()
