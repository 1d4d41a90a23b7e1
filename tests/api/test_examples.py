"""The examples of Python code run as they are: scripts, a file without a start, a notebook."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stand_in import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.full]
FOLDER = ROOT / "examples" / "python"
SCRIPTS = sorted(file.stem for file in FOLDER.glob("*.py") if file.stem != "images")


def run(folder: Path, *command: str) -> str:
    shutil.copytree(ROOT / "examples", folder / "examples")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "jax"}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder / "examples" / "python",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_to_its_verdict(name: str, tmp_path: Path) -> None:
    assert "Verdict: " in run(tmp_path, f"{name}.py")


def test_a_file_without_a_start_runs_by_the_command(tmp_path: Path) -> None:
    output = run(tmp_path, "-m", "tuning", "tune", "images.py", "--trials", "2", "--seeds", "2")
    assert "Verdict: " in output and "test f1 macro" in output


def test_the_notebook_runs_and_shows_the_result(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    notebook = nbformat.read(tmp_path / "examples/python/quickstart.ipynb", as_version=4)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "KERAS_BACKEND": "jax",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }
    client = nbclient.NotebookClient(
        notebook, timeout=250, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env=environment)
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    pages = [out["data"].get("text/html", "") for out in outputs if "data" in out]
    assert any("Verdict: " in page and "<table>" in page for page in pages)
    tables = [page for page in pages if "trials" in page and "<pre" in page]
    assert len(tables) == 1, "the live table changes in place"
    texts = "".join(out.get("text", "") for out in outputs)
    assert "baseline: units 16, learning_rate 0.01" in texts
