"""A study against a tracking server over HTTP, whose files the server keeps."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.imdb import synthetic

pytestmark = pytest.mark.slow

STUDY = """
name: over-http
task: pipelines.imdb.task:ImdbTask
task_options: {num_words: 300, max_len: 24}
space:
  embedding_dim: {type: int, low: 4, high: 12, step: 4}
  units: {type: int, low: 4, high: 12, step: 4}
fixed: {spatial_dropout: 0.0, dropout: 0.0, recurrent_dropout: 0.0, batch_size: 64}
baseline: {embedding_dim: 4, units: 4}
searchers: [random]
budget: {trials: 2, epochs: 1}
confirm: {seeds: 2, top_k: 1}
registered_model: over-http
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}"]
    command += ["--artifacts-destination", str(tmp_path / "files")]
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 180
        while True:
            assert time.monotonic() < deadline, (tmp_path / "server.log").read_text()
            try:
                urllib.request.urlopen(f"{address}/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def test_a_whole_study_over_http(server: str, tmp_path: Path) -> None:
    texts, labels = synthetic.generate(600, 1)
    reviews = tmp_path / "reviews.csv"
    rows = [f'"{text}",{label}' for text, label in zip(texts, labels, strict=True)]
    reviews.write_text("\n".join(["review,sentiment", *rows]))
    study = tmp_path / "study.yaml"
    study.write_text(STUDY)
    command = ["tune", "--study", str(study), "--dataset", str(reviews), "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "tuning.cli", *command],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "MLFLOW_TRACKING_URI": server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    import mlflow

    client = mlflow.MlflowClient(server)
    experiment = client.get_experiment_by_name("over-http")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    (parent,) = [run for run in runs if "tuning.study" in run.data.tags]
    files = {file.path for file in client.list_artifacts(parent.info.run_id, "report")}
    assert "report/report.html" in files
    assert client.get_registered_model("over-http").aliases["challenger"] == "1"
