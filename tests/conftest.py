"""Fixtures that several folders share: a fresh MLflow store, and one finished study for all."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import stores

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tuning.core.task import Split

ROOT = Path(__file__).parents[1]
FLAGSHIP = ROOT / "pipelines" / "imdb" / "study.yaml"

# Programs that any test has compiled; `make clean` removes them.
COMPILED = ROOT / ".cache" / "tests" / "compiled"

# Before any test imports Keras, which would take TensorFlow by itself, and before JAX.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(COMPILED)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"

# Seconds after which a test counts as hung.
HANGS = 300


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives slow tests their time, and keeps tests that share what is slow in one process."""
    for item in items:
        if _needs_a_store(item):
            item.add_marker(pytest.mark.slow)
        slow = any(map(item.get_closest_marker, ("slow", "browser", "full")))
        if slow and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(HANGS))
        if group := _group(item):
            item.add_marker(pytest.mark.xdist_group(group))


def _needs_a_store(item: pytest.Item) -> bool:
    """Whether a test writes many things into a store, which takes half a second or more."""
    fixtures: set[str] = {*getattr(item, "fixturenames", ())}
    return "client" in fixtures and item.nodeid.startswith(("tests/registry/", "tests/tracking/"))


def _group(item: pytest.Item) -> str:
    fixtures: set[str] = {*getattr(item, "fixturenames", ())}
    if "finished_study" in fixtures:
        return "finished study"
    if "ray" in item.nodeid.partition("::")[0]:
        return "ray"  # two clusters at once would be found by each other
    # What a module shares is made once.
    shared = {"downloaded", "processes", "random_regrets", "served", "wheel"}
    return item.nodeid.partition("::")[0] if fixtures & shared else ""


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """Undoes what a command writes into the environment of its process, for the next test."""
    before = dict(os.environ)
    yield
    now = os.environ.get("PYTEST_CURRENT_TEST")
    os.environ.clear()
    os.environ.update(before)
    if now is not None:
        os.environ["PYTEST_CURRENT_TEST"] = now


@pytest.fixture(scope="session")
def empty_store() -> Path:
    """An initialised SQLite store to copy."""
    return stores.empty_store()


@pytest.fixture
def client(
    empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator["MlflowClient"]:
    """A client of a fresh store in ``tmp_path``, which is the current folder too."""
    from tuning.tracking.store import open_store

    stores.copy_store(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    client = open_store(f"sqlite:///{tmp_path / 'mlflow.db'}")
    # The copied Default experiment keeps its files elsewhere; tests use one of their own.
    client.create_experiment("test", artifact_location=(tmp_path / "mlruns").as_uri())
    yield client


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> "list[Split]":
    """The splits of the toy task that this process loads, in order."""
    from tests.toy_task import ToyTask

    splits: list[Split] = []
    load = ToyTask.load

    def watched(task: ToyTask, split: "Split") -> Mapping[str, tuple[Any, Any]]:
        splits.append(split)
        return load(task, split)

    monkeypatch.setattr(ToyTask, "load", watched)
    return splits


@dataclass(frozen=True)
class CommandResult:
    """What a command left behind.

    Attributes:
        folder: Where it ran; holds ``mlflow.db`` and ``mlruns``.
        output: What it printed.
    """

    folder: Path
    output: str

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"


def mlflow_run(
    folder: Path, entry: str, *parameters: str, **env: str
) -> "subprocess.CompletedProcess[str]":
    """Runs ``mlflow run`` of this repository in a folder, as a user would."""
    command = [sys.executable, "-m", "mlflow", "run", str(ROOT), "-e", entry]
    command += ["--env-manager", "local", "--experiment-name", "imdb-lstm-sentiment"]
    for parameter in parameters:
        command += ["-P", parameter]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": _uri(folder), **env},
        capture_output=True,
        text=True,
        check=False,
    )


def run_project(folder: Path, entry: str, *parameters: str, **env: str) -> CommandResult:
    """The same, for what must succeed."""
    done = mlflow_run(folder, entry, *parameters, **env)
    assert done.returncode == 0, done.stdout + done.stderr
    return CommandResult(folder, done.stdout)


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> CommandResult:
    """The main job, once for all tests: ``mlflow run`` on embedded data, as small as can be."""
    folder = tmp_path_factory.mktemp("study")
    return run_project(
        folder,
        "tune",
        "dataset=synthetic",
        "trials=3",
        "epochs=2",
        "seeds=2",
        "set=confirm.top_k=1",
    )


def _uri(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"
