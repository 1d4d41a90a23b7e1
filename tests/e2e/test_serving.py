"""``mlflow models serve`` on the registered model: raw reviews in, answers or a clear 400 out."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Finished

pytestmark = pytest.mark.slow

MODEL = "models:/imdb-lstm-sentiment-synthetic@challenger"


@pytest.fixture(scope="module")
def address(finished_study: Finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("serving")
    env = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    env["MLFLOW_TRACKING_URI"] = finished_study.uri
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", MODEL]
    command += ["--env-manager", "local", "-p", str(port)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log)
    deadline = time.monotonic() + 240
    while True:
        assert time.monotonic() < deadline, (folder / "log").read_text()
        assert process.poll() is None, (folder / "log").read_text()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2).close()
            break
        except OSError:
            time.sleep(0.5)
    yield f"http://127.0.0.1:{port}/invocations"
    process.terminate()
    process.wait(30)


def ask(address: str, document: Any) -> tuple[int, Any]:
    request = urllib.request.Request(
        address, json.dumps(document).encode(), {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_reviews_are_answered(address: str) -> None:
    reviews = ["The acting is wonderful.", "Bad.<br /><br />Really bad.", "été 😀 " * 50]
    status, answer = ask(address, {"dataframe_records": [{"review": text} for text in reviews]})
    assert status == 200
    assert [row["label"] in ("positive", "negative") for row in answer["predictions"]] == [
        True
    ] * 3
    alone = [ask(address, {"inputs": [text]})[1]["predictions"][0] for text in reviews]
    for together, single in zip(answer["predictions"], alone, strict=True):
        assert together["label"] == single["label"]
        assert together["probability"] == pytest.approx(single["probability"], abs=1e-5)


@pytest.mark.parametrize(
    "document",
    [
        {"dataframe_records": [{"text": "a"}]},
        {"dataframe_records": [{"review": None}]},
        {"dataframe_records": [{"review": ""}]},
        {"dataframe_records": []},
        {"inputs": []},
        {"nonsense": 1},
    ],
)
def test_what_is_no_review_gets_a_400_and_the_server_lives(address: str, document: Any) -> None:
    status, _ = ask(address, document)
    assert status == 400
    assert ask(address, {"inputs": ["A fine film."]})[0] == 200
