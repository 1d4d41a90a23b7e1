"""A study against a tracking server over HTTP, whose files the server keeps."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.imdb import synthetic
from tests.e2e.losses import Losses, losses, make_folder
from tests.e2e.process import Tune
from tests.e2e.proxy import FaultyProxy
from tests.e2e.server import Server

pytestmark = pytest.mark.slow

STUDY = """
name: over-http
task: pipelines.imdb.task:ImdbTask
task_options: {num_words: 300, max_len: 24}
space:
  embedding_dim: {type: int, low: 4, high: 12, step: 4}
  units: {type: int, low: 4, high: 12, step: 4}
fixed: {spatial_dropout: 0.0, dropout: 0.0, recurrent_dropout: 0.0}
training: {batch_size: 64}
baseline: {embedding_dim: 4, units: 4}
searchers: [random]
budget: {trials: 2, epochs: 1}
confirm: {seeds: 2, top_k: 1}
registered_model: over-http
"""


PASSWORD, KEY = "s3cret-passw0rd", "AKIA-very-secret-key"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.kill()


def test_a_whole_study_over_http(server: Server, tmp_path: Path) -> None:
    texts, labels = synthetic.generate(600, 1)
    reviews = tmp_path / "reviews.csv"
    rows = [f'"{text}",{label}' for text, label in zip(texts, labels, strict=True)]
    reviews.write_text("\n".join(["review,sentiment", *rows]))
    study = tmp_path / "study.yaml"
    study.write_text(STUDY)
    command = ["tune", "--study", str(study), "--dataset", str(reviews), "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "tuning", *command],
        cwd=Path(__file__).parents[2],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": f"http://me:{PASSWORD}@127.0.0.1:{server.port}",
            "AWS_SECRET_ACCESS_KEY": KEY,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    import mlflow

    client = mlflow.MlflowClient(server.address)
    experiment = client.get_experiment_by_name("over-http")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    (parent,) = [run for run in runs if "tuning.study" in run.data.tags]
    files = {file.path for file in client.list_artifacts(parent.info.run_id, "report")}
    assert "report/report.html" in files
    assert client.get_registered_model("over-http").aliases["challenger"] == "1"
    check_secrets(server, done.stdout + done.stderr)


def check_secrets(server: Server, output: str) -> None:
    """Nothing that was printed or kept holds the password or the key."""
    server.kill()
    with sqlite3.connect(server.folder / "server.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files = [*(server.folder / "files").rglob("*"), *server.folder.glob("server.db*")]
    written = [output.encode(), *(file.read_bytes() for file in files if file.is_file())]
    assert len(written) > 20
    for secret in (PASSWORD, KEY):
        assert not any(secret.encode() in content for content in written)


def test_a_server_that_is_killed_and_comes_back(server: Server, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "study")
    process = Tune(folder, uri=server.address)
    for line in ("baseline-seed1", "Confirmation"):
        assert process.until(line), process.output
        server.kill()
        time.sleep(3)
        server.start()
    assert process.end() == 0, process.output
    assert "MLflow's store does not answer" in process.output
    assert losses(server.address) == Losses()


@pytest.mark.full
def test_a_network_that_fails(server: Server, tmp_path: Path) -> None:
    """Every request may fail, be lost on its way back, or be slow."""
    folder = make_folder(tmp_path / "study")
    proxy = FaultyProxy(server.address, share=0.03, seed=7)
    address = f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}"
    process = Tune(folder, uri=address)
    code = process.end()
    proxy.close()
    assert code == 0, process.output
    assert sum(proxy.faults.values()) >= 5, proxy.faults
    assert losses(server.address) == Losses()
    assert any("Authorization" in headers for headers in proxy.headers)
    check_secrets(server, process.output)
