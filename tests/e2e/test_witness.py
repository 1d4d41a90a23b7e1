"""What version 0.1.0 wrote: this version reports it, goes on with it, and promotes from it."""

import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FLAGSHIP, ROOT
from tuning.cli.main import main
from tuning.core.errors import EXIT_BAD_INPUT, EXIT_OK

FIXTURES = ROOT / "tests" / "fixtures"
# The folder that the store was made in; MLflow's database has absolute paths.
ORIGIN = "/tmp/witness-store"
TRAINING = "training: {batch_size: batch_size}\n"

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The old store, moved to a folder that becomes the current one."""
    with tarfile.open(FIXTURES / "store-0.1.0.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        tables = [
            row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        for table in tables:
            for column in database.execute(f"PRAGMA table_info({table})").fetchall():
                if "CHAR" in column[2].upper() or "TEXT" in column[2].upper():
                    database.execute(
                        f'UPDATE "{table}" SET "{column[1]}" = replace("{column[1]}", ?, ?) '
                        f'WHERE "{column[1]}" LIKE ?',
                        (ORIGIN, str(tmp_path), f"%{ORIGIN}%"),
                    )
    for file in tmp_path.rglob("MLmodel"):
        file.write_text(file.read_text().replace(ORIGIN, str(tmp_path)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    return tmp_path


def add_training(file: Path) -> Path:
    """What a user has to add to a study file of version 0.1."""
    file.write_text(file.read_text() + TRAINING)
    return file


def test_an_old_study_file_is_told_what_to_add(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--study", "study.yaml"]) == EXIT_BAD_INPUT
    assert "add training: {batch_size: batch_size}" in capsys.readouterr().err


def as_now(document: dict[str, Any]) -> dict[str, Any]:
    """The comparison of version 0.1 under the names of today."""
    listed = [document[key] for key in ("references", "candidates", "long_runs")]
    for config in (
        document["baseline"],
        document["best"],
        *(one for each in listed for one in each),
    ):
        config["test"] = config.pop("test_accuracy")
        # Its losses are not recorded any more, unless the study asks for them.
        del config["test_loss"]
        config["additional"] = {}
    document["diebold_mariano"] = None
    return without_explanations(document)


def without_explanations(document: dict[str, Any]) -> dict[str, Any]:
    """A comparison without what is computed in another way now.

    Importances need more trials, p-values are adjusted, and the examples' part of an interval
    counts only what all models share.
    """
    for change in document["changes"]:
        del change["reason"]
    for effect in document["effects"].values():
        del effect["importance"], effect["p_value"]
    for gain in (document["gain"], *(each["gain"] for each in document["against_baseline"])):
        for key in ("low", "high", "p_value", "example_error", "degrees_of_freedom"):
            assert isinstance(gain.pop(key), float)
        gain.pop("rows", None), gain.pop("overlap", None)  # version 0.1 had one kind of rows
    for against in document["against_baseline"]:
        del against["p_value"]
    del document["why"], document["detectable"]
    return document


def assert_same_numbers(old: Any, new: Any, where: str = "") -> None:
    if isinstance(old, dict):
        assert old.keys() == new.keys(), where
        for key in old:
            assert_same_numbers(old[key], new[key], f"{where}/{key}")
    elif isinstance(old, list):
        assert len(old) == len(new), where
        for index, pair in enumerate(zip(old, new, strict=True)):
            assert_same_numbers(*pair, f"{where}/{index}")
    else:
        assert new == (pytest.approx(old) if isinstance(old, float) else old), where


def test_an_old_study_is_reported_and_its_model_promoted(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = str(add_training(store / "study.yaml"))
    files = store.glob("mlruns/**/report/comparison.json")
    (before,) = [file for file in files if json.loads(file.read_text())["gain"]]
    old = json.loads(before.read_text())
    assert main(["report", "--study", study]) == EXIT_OK
    assert "Verdict: better. Gain in test accuracy +27.66 points" in capsys.readouterr().out
    new = json.loads(before.read_text())
    assert (old.pop("schema"), new.pop("schema")) == ("tuning.comparison/1", "tuning.comparison/3")
    assert new.pop("metric") == {"name": "accuracy", "direction": "maximize", "unit": "share"}
    old.pop("bootstrap")
    assert_same_numbers(as_now(old), without_explanations(new))

    assert main(["history", "--study", study]) == EXIT_OK
    assert "challenger" in capsys.readouterr().out
    assert main(["promote", "--study", study]) == EXIT_OK
    assert "witness version 1 is champion" in capsys.readouterr().out
    assert main(["history", "--study", study]) == EXIT_OK
    assert "challenger, champion" in capsys.readouterr().out


def tune(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tuning", "tune", "--workers", "1", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def trials_of(uri: str, experiment: str) -> dict[str, Any]:
    """The runs of an experiment's trials, by their names."""
    import mlflow

    client = mlflow.MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = client.search_runs([found.experiment_id], max_results=1000)
    trials = [run for run in runs if "tuning.trial" in run.data.tags]
    by_name = {run.data.tags["tuning.trial"]: run for run in trials}
    assert len(by_name) == len(trials), "no trial was recorded twice"
    return by_name


@pytest.mark.full
def test_an_old_study_goes_on_and_repeats_nothing(store: Path) -> None:
    uri = os.environ["MLFLOW_TRACKING_URI"]
    before = trials_of(uri, "witness-stopped")
    ended = {
        name: run.info.end_time
        for name, run in before.items()
        if run.data.tags.get("tuning.state") == "completed"
    }
    assert len(ended) > 8
    file = add_training(store / "stopped.yaml")
    # The default of 0.1, which has become a limit that has to be set.
    file.write_text(file.read_text() + "\ngate: {max_behaviour_regression: 0.2}\n")
    study = str(file)
    done = tune(store, "--study", study, "--resume", "last", "--cache-dir", str(store / "cache"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Verdict: " in done.stdout
    after = trials_of(uri, "witness-stopped")
    assert {name: after[name].info.end_time for name in ended} == ended
    # The baseline's seeds, four of each searcher, the reference's seeds and the candidate's.
    assert len(after) == 8 + 2 * 4 + 8 + 8
    assert {run.info.status for run in after.values()} <= {"FINISHED", "KILLED"}


@pytest.mark.full
def test_the_same_study_has_the_same_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    arguments = ["--study", str(FLAGSHIP), "--dataset", "synthetic", "--trials", "2"]
    arguments += ["--epochs", "2", "--seeds", "2", "--set", "confirm.top_k=1"]
    arguments += ["--searchers", "optuna,keras_tuner,random"]
    arguments += ["--cache-dir", str(tmp_path / "cache")]
    done = tune(tmp_path, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    import mlflow

    client = mlflow.MlflowClient(uri)
    runs = trials_of(uri, "imdb-lstm-sentiment")
    witness = json.loads((FIXTURES / "losses-0.1.0.json").read_text())
    assert set(runs) == set(witness)
    for name, old in witness.items():
        assert runs[name].data.params == old["params"], name
        for metric in ("loss", "val_loss", "val_accuracy"):
            history = client.get_metric_history(runs[name].info.run_id, metric)
            values = [point.value for point in sorted(history, key=lambda point: point.step)]
            # Equal on one processor; another adds in another order.
            assert values == pytest.approx(old[metric], rel=2e-3), (name, metric)
