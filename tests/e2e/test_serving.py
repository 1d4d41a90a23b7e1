"""What leaves the registry: raw reviews in, answers or a clear 400 out, without the project."""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from benchmarks.server import served
from tests.conftest import CommandResult

pytestmark = pytest.mark.slow

MODEL = "models:/imdb-lstm-sentiment-synthetic@challenger"


@pytest.fixture(scope="module")
def address(
    finished_study: CommandResult, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("KERAS_BACKEND", raising=False)
            patch.setenv("MLFLOW_TRACKING_URI", finished_study.uri)
            # Not in the project's folder, from which the server could import it.
            patch.chdir(tmp_path_factory.mktemp("serving"))
            port = stack.enter_context(served(MODEL))
        yield f"http://127.0.0.1:{port}/invocations"


def post(address: str, body: bytes, kind: str = "application/json") -> tuple[int, Any]:
    request = urllib.request.Request(address, body, {"content-type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def ask(address: str, document: Any) -> tuple[int, Any]:
    return post(address, json.dumps(document).encode())


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
    ("document", "says"),
    [
        ({"dataframe_records": [{"text": "a"}]}, "review"),
        ({"dataframe_records": [{"review": None}]}, "review"),
        ({"dataframe_records": [{"review": ""}]}, "must be a text and not only a number"),
        ({"dataframe_records": [{"review": 5}]}, "review"),
        ({"dataframe_records": [{"review": "fine"}, {"review": 5.5}]}, "review"),
        ({"dataframe_records": [{"review": ["a", "b"]}]}, "review"),
        ({"dataframe_records": [{"review": "fine"}, {"review": "-1.5e3 "}]}, "from 0: [1]"),
        ({"inputs": [1]}, "from 0: [0]"),
        ({"inputs": [None]}, "from 0: [0]"),
        ({"inputs": ["fine", None, 2.5, True]}, "from 0: [1, 2, 3]"),
        ({"inputs": {"review": [1]}}, "from 0: [0]"),
        ({"instances": ["fine", 3]}, "from 0: [1]"),
        ({"inputs": 5}, "review"),
        ({"inputs": None}, ""),
        ({"dataframe_records": []}, ""),
        ({"inputs": []}, ""),
        ({"nonsense": 1}, ""),
    ],
)
def test_what_is_no_review_gets_a_400_and_the_server_lives(
    address: str, document: Any, says: str
) -> None:
    status, answer = ask(address, document)
    assert status == 400
    assert says in answer
    assert "Traceback" not in answer
    assert ask(address, {"inputs": ["A fine film."]})[0] == 200


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"inputs": ["caf\xe9"]}', "application/json", 400),
        (b"\xff\xfe\x00", "application/json", 400),
        (b"review\nA dull film.\n", "text/csv", 200),
        (b"A dull film.", "text/plain", 415),
        (b"", "application/json", 400),
    ],
)
def test_whatever_bytes_come_the_server_answers_and_lives(
    address: str, body: bytes, kind: str, status: int
) -> None:
    assert post(address, body, kind)[0] == status
    assert ask(address, {"inputs": ["A fine film."]})[0] == 200


def test_long_many_and_marked_up_reviews_are_answered(address: str) -> None:
    megabyte = "good " * 200_000
    status, answer = ask(address, {"inputs": [megabyte, megabyte[-2_000:]]})
    assert status == 200
    long, end = answer["predictions"]
    assert long["probability"] == pytest.approx(end["probability"], abs=1e-6), "its end decides"
    html, plain = "<b>Bad</b><br/>bad &amp; <i>dull</i>", "b bad b  bad amp  i dull i"
    status, answer = ask(address, {"inputs": [html, plain]})
    assert status == 200
    status, answer = ask(address, {"inputs": ["A film.", "Bad."] * 5_000})
    assert status == 200
    assert len(answer["predictions"]) == 10_000


ASK = """
import sys
import mlflow
import pandas as pd

model = mlflow.pyfunc.load_model(sys.argv[1])
reviews = ["The acting is wonderful.", "Bad. " * 300, "été 😀"]
answer = model.predict(pd.DataFrame({"review": reviews}))
assert "tuning" not in sys.modules and "pipelines" not in sys.modules
print(answer["probability"].to_json(orient="values", double_precision=15))
"""


def probabilities(python: Path, model: str, folder: Path, **env: str) -> list[float]:
    """What a process says in which the project cannot be imported."""
    script = folder / "ask.py"
    script.write_text(ASK)
    kept = {k: v for k, v in os.environ.items() if k not in ("KERAS_BACKEND", "PYTHONPATH")}
    done = subprocess.run(
        [python, script, model],
        cwd=folder,
        env={**kept, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [float(value) for value in json.loads(done.stdout.splitlines()[-1])]


@pytest.fixture(scope="module")
def downloaded(finished_study: CommandResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import mlflow

    from tuning.tracking.store import open_store

    open_store(finished_study.uri)
    folder = tmp_path_factory.mktemp("model")
    mlflow.artifacts.download_artifacts(artifact_uri=MODEL, dst_path=str(folder))
    return folder


@pytest.mark.full
def test_the_model_gives_the_same_probabilities_on_tensorflow(
    downloaded: Path, tmp_path: Path
) -> None:
    python = Path(sys.executable)
    found = [
        probabilities(python, str(downloaded), tmp_path, KERAS_BACKEND=backend)
        for backend in ("jax", "tensorflow")
    ]
    assert found[0] == pytest.approx(found[1], abs=1e-5)


def test_it_carries_its_card_its_requirements_and_an_example(
    downloaded: Path, finished_study: CommandResult
) -> None:
    import mlflow

    card = (downloaded / "artifacts" / "model_card.md").read_text("utf-8")
    for heading in ("## Verdict", "## Data", "## Intended use", "## Limits", "## Rolling back"):
        assert heading in card
    assert "SYNTHETIC" in card
    name, alias = MODEL.removeprefix("models:/").split("@")
    version = mlflow.MlflowClient(finished_study.uri).get_model_version_by_alias(name, alias)
    assert version.description
    assert card.startswith(version.description.partition("\n\n## Decisions")[0])
    requirements = (downloaded / "requirements.txt").read_text().split()
    assert requirements
    assert all("==" in line for line in requirements)
    assert mlflow.models.Model.load(str(downloaded)).saved_input_example_info


@pytest.mark.full
def test_it_answers_where_only_its_requirements_are_installed(
    downloaded: Path, tmp_path: Path
) -> None:
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    install: list[str | Path]
    install = [python, "-m", "pip", "install", "-q", "-r", downloaded / "requirements.txt"]
    if uv := shutil.which("uv"):
        install = [uv, "pip", "install", "-q", "-p", python, "-r", downloaded / "requirements.txt"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode and "onnection" in done.stderr:
        pytest.skip(f"the packages cannot be had: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    alone = probabilities(python, str(downloaded), tmp_path)
    here = probabilities(Path(sys.executable), str(downloaded), tmp_path)
    assert alone == pytest.approx(here, abs=1e-6)


def mlflow_models(finished_study: CommandResult, folder: Path, *arguments: str) -> str:
    """Runs ``mlflow models`` in a folder, whose programs come before all others."""
    env = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    env["MLFLOW_TRACKING_URI"] = finished_study.uri
    env["PATH"] = os.pathsep.join(map(str, (folder, Path(sys.executable).parent, env["PATH"])))
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "models", *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.full
def test_mlflow_predicts_with_it_from_a_file(
    finished_study: CommandResult, tmp_path: Path
) -> None:
    (tmp_path / "reviews.csv").write_text("review\nA dull film.\nGood fun.\n")
    arguments = ["-m", MODEL, "-i", "reviews.csv", "-t", "csv", "-o", "answers.json"]
    mlflow_models(finished_study, tmp_path, "predict", *arguments, "--env-manager", "local")
    answers = json.loads((tmp_path / "answers.json").read_text())["predictions"]
    assert [answer["label"] in ("positive", "negative") for answer in answers] == [True, True]


def test_mlflow_makes_a_container_s_context_of_it(
    finished_study: CommandResult, tmp_path: Path
) -> None:
    arguments = ["-m", MODEL, "-d", "context", "--env-manager", "local"]
    mlflow_models(finished_study, tmp_path, "generate-dockerfile", *arguments)
    assert_complete(tmp_path / "context")


def test_mlflow_builds_a_container_up_to_what_the_engine_does(
    finished_study: CommandResult, tmp_path: Path
) -> None:
    # Stands for the engine's program, and keeps what it is given to build.
    engine = tmp_path / "docker"
    engine.write_text(
        '#!/bin/sh\n[ "$1" = build ] || exit 1\n'
        f'echo "$@" > {tmp_path}/asked\ncp -r . {tmp_path}/context\n'
    )
    engine.chmod(0o755)
    mlflow_models(finished_study, tmp_path, "build-docker", "-m", MODEL, "-n", "sentiment")
    assert (tmp_path / "asked").read_text().startswith("build -t sentiment -f Dockerfile")
    assert_complete(tmp_path / "context")


def assert_complete(context: Path) -> None:
    dockerfile = (context / "Dockerfile").read_text()
    copied = [line.split()[1] for line in dockerfile.splitlines() if line.startswith("COPY ")]
    assert copied
    assert all((context / path).exists() for path in copied)
    assert list(context.rglob("model_card.md"))
    assert "tuning" not in dockerfile
