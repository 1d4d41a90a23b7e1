"""What a user installs: the wheel in an empty environment, and the lowest dependencies.

Both need the package index and minutes, so only ``make test-all`` runs them.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.full, pytest.mark.timeout(3000)]

TASK = """
import numpy as np

from tuning.core.task import DataInfo


class Task:
    def __init__(self, *, dataset="auto", cache_dir=""):
        pass

    def prepare(self):
        sizes = {"train": 200, "validation": 80, "test": 80}
        return DataInfo(
            label="sums", name="sums", source="drawn", digest="0" * 64, sizes=sizes,
            cannot_serve="it is an example",
        )

    def worker_options(self):
        return {}

    def load(self, split):
        parts = {"search": {"train": 200, "validation": 80}, "test": {"test": 80}}[split]
        return {part: _draw(rows) for part, rows in parts.items()}

    def build(self, params):
        import keras

        model = keras.Sequential(
            [
                keras.layers.Input((2,)),
                keras.layers.Dense(params["units"], activation="tanh"),
                keras.layers.Dense(1, activation="sigmoid"),
            ]
        )
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
        return model

    def serve(self, model_file, folder):
        raise NotImplementedError


def _draw(rows):
    x = np.random.default_rng(rows).normal(size=(rows, 2)).astype("float32")
    return x, (x.sum(axis=1) > 0).astype("int32")
"""
STUDY = """
name: sums
task: sums:Task
space: {units: {type: int, low: 2, high: 8, step: 2}}
baseline: {units: 2}
searchers: [optuna, keras_tuner, random]
budget: {trials: 2, epochs: 2}
confirm: {seeds: 2, top_k: 1}
registered_model: sums
"""


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "MLFLOW"))
    }
    done = subprocess.run(
        command, cwd=cwd, env={**clean, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_environment(folder: Path, *requirements: str) -> Path:
    """A fresh virtual environment; its folder of programs."""
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    if requirements:
        run(folder / "bin" / "pip", "install", "--quiet", *requirements, cwd=folder.parent)
    return folder / "bin"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # A copy, for the build leaves files in the source tree.
    run("git", "clone", "--quiet", ROOT, source, cwd=folder)
    # An environment that uv has made has no pip of its own.
    pip = make_environment(folder / "builder") / "pip"
    run(pip, "wheel", "--quiet", "--no-deps", "-w", folder, source, cwd=folder)
    (file,) = folder.glob("*.whl")
    return file


def test_the_wheel_has_the_library_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"tuning", "tuning_keras"}
    assert "tuning/report/templates/report.html.j2" in names
    assert "tuning/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_in_an_empty_environment_runs_a_study(wheel: Path, tmp_path: Path) -> None:
    programs = make_environment(tmp_path / "venv", f"{wheel}[jax]")
    project = tmp_path / "project"
    project.mkdir()
    (project / "sums.py").write_text(TASK)
    (project / "study.yaml").write_text(STUDY)
    output = run(programs / "tuning", "tune", "--study", "study.yaml", cwd=project)
    assert "Verdict: " in output
    assert "Nothing is registered: it is an example" in output
    assert "Verdict: " in run(programs / "tuning", "report", "--study", "study.yaml", cwd=project)


@pytest.mark.parametrize("manager", ["local", "uv"])
def test_a_new_project_runs_at_once_by_mlflow(wheel: Path, tmp_path: Path, manager: str) -> None:
    if manager == "uv" and shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    programs = make_environment(tmp_path / "venv", f"{wheel}[jax]", "pytest")
    project = tmp_path / "churn"
    run(programs / "tuning", "init", project, "--source", wheel, cwd=tmp_path)
    path = f"{programs}:{os.environ['PATH']}"
    command = ["run", ".", "-e", "tune", "--env-manager", manager]
    options = [*command, "-P", "trials=1", "-P", "seeds=2", "-P", "set=budget.epochs=2"]
    output = run(programs / "mlflow", *options, cwd=project, PATH=path, KERAS_BACKEND="jax")
    assert "Verdict: " in output
    if manager == "local":
        assert "1 passed" in run(programs / "pytest", "-q", cwd=project, PATH=path)


def lowest() -> list[str]:
    """The lower end of every range in pyproject.toml, as pins."""
    with (ROOT / "pyproject.toml").open("rb") as stream:
        project = tomllib.load(stream)["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"]["jax"]]
    return [re.sub(r">=([^,]+),.*", r"==\1", text) for text in texts]


def test_the_lowest_dependencies_pass_the_quick_tests(tmp_path: Path) -> None:
    tools = ("pytest<9.2", "pytest-timeout", "pytest-xdist", "hypothesis", "pip")
    programs = make_environment(tmp_path / "venv", *lowest(), *tools)
    chosen = ["tests/core", "tests/study", "tests/metrics", "tests/driver", "tests/search"]
    chosen += ["tests/tracking", "tests/evaluation", "tests/report", "tests/registry"]
    chosen += ["tests/workflow", "tests/training/test_fit.py"]
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m"]
    # A whole study with Keras and both libraries.
    for marked, files in (("not full", chosen), ("full", ["tests/e2e/test_extras.py"])):
        output = run(programs / "python", *command, marked, *files, cwd=ROOT, KERAS_BACKEND="jax")
        assert " passed" in output
