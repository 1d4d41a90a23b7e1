"""Every command on a finished study: what it prints, what it changes, and its exit code."""

import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.stores import copy_store
from tests.workflow.whole_study import WholeStudy, whole_study
from tuning.cli.main import main
from tuning.tracking import keys
from tuning.tracking.store import open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path
) -> Iterator[tuple[Path, list[str]]]:
    """Three ended studies: the first is promoted, the second would be, the third is worse."""
    folder = tmp_path_factory.mktemp("finished")
    copy_store(empty_store, folder / "mlflow.db")
    client = open_store(f"sqlite:///{folder / 'mlflow.db'}")
    run_ids: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        for share, promote in ((0.85, "gate"), (0.95, "never"), (0.5, "gate")):
            with whole_study(folder, client, patch, searchers=["random"]) as study:
                study.right = _share(share)
                run_ids.append(study.run(promote=promote).run_id)
        yield folder, run_ids


def _share(share: float) -> Callable[[str], float]:
    return lambda name: share if name.startswith("confirm") else 0.75


@pytest.fixture
def folder(
    finished: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The same store, which a test may change; the files are those of all tests."""
    copy_store(finished[0] / "mlflow.db", tmp_path / "mlflow.db")
    shutil.copyfile(finished[0] / "study.yaml", tmp_path / "study.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setattr("tuning.report.report.draw_figures", lambda *arguments: [])
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(command: str, *arguments: str) -> tuple[int, str, str]:
        code = main([command, "--study", str(folder / "study.yaml"), *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def store(folder: Path) -> "MlflowClient":
    return open_store(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture
def better(finished: tuple[Path, list[str]]) -> str:
    return finished[1][0]


@pytest.fixture
def worse(finished: tuple[Path, list[str]]) -> str:
    return finished[1][2]


def champion(store: "MlflowClient") -> str:
    return str(store.get_model_version_by_alias("toy", keys.CHAMPION).version)


def test_report_says_the_same_again(run: Run, store: "MlflowClient", worse: str) -> None:
    store.delete_tag(worse, keys.VERDICT)
    code, out, _ = run("report")
    assert code == 0
    assert "Verdict: worse. Gain in test accuracy -25.00 points" in out
    assert f"Run {worse}" in out
    assert store.get_run(worse).data.tags[keys.VERDICT] == "worse"


def test_report_of_a_named_run(run: Run, better: str) -> None:
    code, out, _ = run("report", "--run-id", better)
    assert code == 0
    assert "Verdict: better. Gain in test accuracy +10.00 points" in out


def test_compare_says_which_study_found_more(run: Run, better: str, worse: str) -> None:
    code, out, _ = run("compare", "--run-ids", f"{better}, {worse}")
    assert code == 0
    assert re.search(r"35\.00 points", out), out


@pytest.mark.parametrize("run_ids", ["", "x", "x,x", ","])
def test_compare_needs_two_studies(run: Run, run_ids: str) -> None:
    code, _, err = run("compare", "--run-ids", run_ids)
    assert code == 2
    assert f"two or more parent runs, separated by commas; got {run_ids!r}" in err


def test_clean_lists_before_it_removes(run: Run, store: "MlflowClient", better: str) -> None:
    arguments = ("--run-id", better, "--keep", "first_seeds")
    code, listed, _ = run("clean", *arguments)
    assert code == 0
    assert re.search(r"Would remove \d+ models, .* pass --dry-run no", listed)
    names = [line.split()[0] for line in listed.splitlines()[:-1]]
    assert names and all(name.endswith("-seed2") for name in names)
    models = [line.split()[1] for line in listed.splitlines()[:-1]]
    assert all(store.get_logged_model(model_id) for model_id in models)
    code, removed, _ = run("clean", *arguments, "--dry-run", "no")
    assert code == 0
    assert f"Removed {len(models)} models" in removed
    code, listed, _ = run("clean", *arguments)
    assert "Would remove 0 models" in listed


def test_history_lists_every_version(run: Run) -> None:
    code, out, _ = run("history")
    assert code == 0
    first, second, third = (line for line in out.splitlines() if re.match(r"\s*[123] ", line))
    assert "better" in first and "champion" in first and "passed" in first
    assert "better" in second and "passed" not in second and "refused" not in second
    assert "worse" in third and "challenger" in third and "refused" in third
    told = out.partition("Champions: 1")[2]
    assert [line for line in told.splitlines() if line.startswith("Version ")]
    assert "passed the gate by" in told and "refused by" in told


def test_a_version_that_is_not_better_is_refused_with_3(run: Run, store: "MlflowClient") -> None:
    code, _, err = run("promote")
    assert code == 3
    assert "Not promoted: toy version 3: the verdict is worse, not better" in err
    assert champion(store) == "1"


def test_a_dry_run_tells_and_changes_nothing(run: Run, store: "MlflowClient", worse: str) -> None:
    before = dict(store.get_model_version("toy", "3").tags)
    code, out, _ = run("promote", "--target", worse, "--dry-run", "yes")
    assert code == 3
    assert "toy version 3 would not become champion: the verdict is worse" in out
    assert dict(store.get_model_version("toy", "3").tags) == before
    code, out, _ = run("promote", "--target", "1", "--dry-run")
    assert code == 0
    assert "toy version 1 would become champion" in out


def test_promote_and_rollback(run: Run, store: "MlflowClient") -> None:
    code, out, err = run("promote", "--target", "toy/2")
    assert code == 0, err
    assert "toy version 2 is champion" in out
    assert champion(store) == "2"
    code, out, _ = run("rollback", "--dry-run", "yes")
    assert (code, champion(store)) == (0, "2")
    assert "toy version 1 would be champion again" in out
    code, out, _ = run("rollback")
    assert (code, champion(store)) == (0, "1")
    assert "toy version 1 is champion again" in out


def test_predict_asks_the_champion(run: Run, folder: Path) -> None:
    code, out, _ = run("predict", "--text", "four")
    assert code == 0
    assert out.splitlines() == ["models:/toy@champion", "4          four"]
    (folder / "texts").write_text("a\n\nbc\n")
    code, out, _ = run("predict", "--file", str(folder / "texts"), "--model", "models:/toy/2")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["models:/toy/2"],
        ["1", "a"],
        ["2", "bc"],
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--text", "a", "--model", "/etc/passwd"), "models:/name@alias"),
        (("--text", "a", "--model", "models:/toy/9"), "models:/toy/9 cannot be loaded"),
        (("--text", "a", "--explain"), "has no method explain"),
        (("--file", "nowhere.txt"), "'nowhere.txt' cannot be read"),
        (("--file", "empty.txt"), "'empty.txt' holds no text"),
    ],
)
def test_what_cannot_be_asked_is_named(
    run: Run, folder: Path, arguments: tuple[str, ...], reason: str
) -> None:
    (folder / "empty.txt").write_text("\n \n")
    code, _, err = run("predict", *arguments)
    assert code == 2
    assert reason in err


def test_tune_and_baseline_print_where_it_is(
    run: Run, folder: Path, store: "MlflowClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    with whole_study(folder, store, monkeypatch, searchers=["random"]) as study:
        quiet = ("--quiet", "--cache-dir", str(folder / "cache"))
        code, out, _ = run("tune", *quiet)
        assert code == 0
        assert "Verdict: inconclusive" in out
        assert "leaderboard:\n" in out
        code, out, _ = run("tune", *quiet[1:], "--json", "--trials", "2")
        assert code == 0
        outcome = json.loads(out.splitlines()[-1])
        assert (outcome["event"], outcome["verdict"]) == ("outcome", "inconclusive")
        assert all(json.loads(line)["event"] for line in out.splitlines())
        assert _command(store, outcome) == f"tuning tune --study {folder}/study.yaml --set " + (
            f"budget.trials=2 --cache-dir {folder}/cache"
        )
        code, out, _ = run("baseline", *quiet)
        assert code == 0
        assert _trials(study) == {"baseline"}


def _command(store: "MlflowClient", outcome: dict[str, Any]) -> str:
    return str(store.get_run(outcome["run_id"]).data.tags[keys.COMMAND])


def test_each_step_before_the_first_trial_is_said(
    run: Run, folder: Path, store: "MlflowClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    with whole_study(folder, store, monkeypatch, searchers=["random"]):
        code, out, _ = run("tune", "--cache-dir", str(folder / "cache"))
    assert code == 0
    steps = [line.removesuffix(" …") for line in out.splitlines() if line.endswith(" …")]
    assert steps[0] == f"Reading {folder / 'study.yaml'}"
    assert steps[1] == "Preparing the data"
    assert "Looking for rows that stand in two parts of the data" in steps
    assert any(step.startswith("Opening MLflow at sqlite:///") for step in steps)
    assert steps[-2:] == ["Writing the report", "Registering the best model, and trying it"]


def _trials(study: WholeStudy) -> set[str]:
    return {trial.phase.value for trial in study.trained[-2:]}


def test_ui_becomes_the_server_of_the_store(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[Any] = []
    monkeypatch.setattr("os.execv", lambda *arguments: became.append(arguments))
    for name in ("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "MLFLOW_BACKEND_STORE_URI"):
        monkeypatch.setenv(name, "")
    _, out, _ = run("ui", "--port", "5009")
    assert "http://127.0.0.1:5009/#/experiments/" in out
    assert "warning" not in out
    ((program, command),) = became
    assert command[0] == program
    assert os.environ["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{folder}/mlflow.db"
    assert command[command.index("--port") + 1] == "5009"
    _, out, _ = run("ui", "--host", "0.0.0.0")
    assert "warning: whoever reaches 0.0.0.0 can change runs and registry" in out

    address = "postgresql://ada:s3cret@db/mlflow"
    monkeypatch.setattr("tuning.tracking.store.resolve_uri", lambda: address)
    monkeypatch.setattr("tuning.tracking.store.open_store", lambda uri: None)
    monkeypatch.setattr("tuning.tracking.store.get_experiment", lambda client, name: "1")
    monkeypatch.setattr("tuning.tracking.leaderboard.experiments_with_studies", lambda client: {})
    _, out, _ = run("ui")
    assert "MLflow on postgresql://***@db/mlflow" in out
    assert "s3cret" not in out + " ".join(became[-1][1])


def test_ui_links_to_every_study_and_needs_no_file(
    folder: Path,
    store: "MlflowClient",
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("os.execv", lambda *arguments: None)
    for name in ("wine", "digits"):
        experiment = store.create_experiment(name)
        store.create_run(experiment, tags={keys.KIND: keys.TUNE})
    store.create_experiment("empty")
    main(["ui", "--port", "5009"])
    out = capsys.readouterr().out
    assert "wine: http://127.0.0.1:5009/#/experiments/" in out
    assert "digits: http://127.0.0.1:5009/#/experiments/" in out
    assert "empty" not in out


def test_ui_refuses_a_port_that_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.execv", lambda *arguments: pytest.fail("it became the server"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["ui", "--port", str(port)]) == 2
    assert f"pass --port, such as {port + 1}" in capsys.readouterr().err


def test_a_server_has_its_pages_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.execv", lambda *arguments: pytest.fail("it became the server"))
    monkeypatch.setattr("tuning.tracking.store.resolve_uri", lambda: "https://mlflow.example.org/")
    monkeypatch.setattr("tuning.tracking.store.open_store", lambda uri: None)
    studies = {"wine": "7"}
    monkeypatch.setattr(
        "tuning.tracking.leaderboard.experiments_with_studies", lambda client: studies
    )
    assert main(["ui"]) == 0
    assert "wine: https://mlflow.example.org/#/experiments/7/runs" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["report", "clean", "promote", "history"])
def test_a_store_without_the_study_is_named(
    command: str, run: Run, folder: Path, empty_store: Path
) -> None:
    copy_store(empty_store, folder / "mlflow.db")
    code, _, err = run(command)
    assert code in (1, 2)
    assert "error:" in err and "toy" in err
    assert "Traceback" not in err
