"""The command line: bad input is named before any work, and ends with exit code 2."""

from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from pipelines.imdb.task import ImdbTask
from tests.conftest import FLAGSHIP as STUDY
from tuning.cli.commands import _shortest_command
from tuning.cli.main import main
from tuning.cli.parser import build_parser
from tuning.core.errors import EXIT_BAD_INPUT, EXIT_ERROR, BadInputError
from tuning.study.ranges import Int
from tuning.workflow.plan import Options, choose_backend, make_plan


def test_without_a_command_the_page_of_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == EXIT_BAD_INPUT
    text = capsys.readouterr().err
    assert text.startswith("usage: tuning COMMAND [FILE] [OPTIONS]")
    for heading in ("studies:", "what came of a study:", "the registry:", "examples:"):
        assert f"\n{heading}\n" in text
    assert "exit codes: 0 done, 2 bad input" in text


@pytest.mark.parametrize("command", ["tune", "baseline", "report", "promote", "predict"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "--study" in text
    if command == "tune":
        assert "examples:" in text
        assert "exit codes:" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trials", "-1"], "budget.trials"),
        (["--trials", "1.5"], "budget.trials: input should be a valid integer"),
        (["--seeds", "x"], "confirm.seeds: input should be a valid integer"),
        (["--set", "seed=-3"], "seed: input should be greater than or equal to 0; got -3"),
        (["--set", "confirm.topk=3"], "confirm.topk: there is no such field; did you mean top_k?"),
        (["--set", "confirm.nonsense=3"], "confirm.nonsense: there is no such field"),
        (["--set", "bugdet.trials=3"], "bugdet: there is no such field; did you mean budget?"),
        (["--set", "seed"], "set: 'seed' is not of the form field=value"),
        (["--set", "seed=[1"], "set: the value of 'seed=[1' is not valid YAML"),
        (["--set", "seed.x=1"], "set: seed.x: seed has no fields"),
        (["--workers", "x"], "--workers: a whole number; got 'x'"),
        (["--workers", "-1"], "workers: from 0 to 1024; got -1"),
        (["--timeout", "-5"], "budget.timeout: input should be greater than 0; got -5"),
        (["--timeout", "nan"], "budget.timeout: input should be"),
        (["--promote", "always"], "promote: gate or never; got 'always'"),
        (["--backend", "theano"], "backend: auto, jax, tensorflow, torch; got 'theano'"),
        (["--searchers", "optuna,nope"], "there is no library 'nope'"),
        (["--searchers", "optuna:tpe(n_trials=3)"], "there is no option 'n_trials'"),
        (["--searchers", "random", "--set", "space.units.low=48"], "baseline: units: 32 is not"),
        (["--executor", "slurm"], "executor: local or ray; got 'slurm'"),
        (["--ray-address", "auto"], "ray_address: 'auto' needs executor=ray"),
        (["--gpus", "77"], "'77'"),
        (["--nonsense", "1"], "--nonsense"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["tune", "--study", str(STUDY), *arguments])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    assert code == EXIT_BAD_INPUT
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_mlflow_refuses_is_told_without_a_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")

    def refuse(*arguments: object) -> None:
        raise MlflowException("no, says http://me:secret@server", INVALID_PARAMETER_VALUE)

    monkeypatch.setattr("tuning.workflow.resume.find_run", refuse)
    assert main(["report", "--study", str(STUDY)]) == EXIT_ERROR
    error = capsys.readouterr().err
    assert error.endswith("error: MLflow: no, says http://***@server\n")
    assert "Traceback" not in error


def test_our_own_messages_hide_who_logs_in_where_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(uri: str) -> None:
        raise BadInputError(f"MLflow's store {uri} cannot be used")

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ada:s3cret@mlflow.example.org")
    monkeypatch.setattr("tuning.tracking.store.open_store", refuse)
    assert main(["report", "--study", str(STUDY)]) == EXIT_BAD_INPUT
    error = capsys.readouterr().err
    assert error == "error: MLflow's store https://***@mlflow.example.org cannot be used\n"


def test_a_data_set_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = main(["tune", "--study", str(STUDY), "--dataset", "/no/such/place"])
    assert code == EXIT_BAD_INPUT
    assert "'/no/such/place'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_task_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.read_text().replace("task:ImdbTask", "task:Nothing"))
    with pytest.raises(BadInputError, match=r"task: 'pipelines\.imdb\.task:Nothing' cannot be"):
        make_plan(Options(study=file))
    file.write_text(STUDY.read_text().replace("num_words: 10000", "num_wrds: 10000"))
    with pytest.raises(BadInputError, match=r"task_options: .*num_wrds"):
        make_plan(Options(study=file))


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"load": lambda self: {}}, r"has load\(\), .*write def load\(self, split\)"),
        ({"build": lambda self, units, rate: None}, r"has build\(units, rate\), "),
        ({"fit": lambda self, model, data: None}, r"def fit\(self, model, params, data, call"),
        ({"callbacks": lambda self: []}, r"write def callbacks\(self, params\)"),
        ({"build": None}, "has no method build; add it"),
    ],
)
def test_a_task_whose_methods_cannot_be_called_is_named(
    methods: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, method in methods.items():
        if method is None:
            monkeypatch.delattr(ImdbTask, name)
        else:
            monkeypatch.setattr(ImdbTask, name, method, raising=False)
    with pytest.raises(BadInputError, match=message):
        make_plan(Options(study=STUDY))


def test_an_empty_text_means_as_the_study_says() -> None:
    words = ["tune", "--study", str(STUDY), "--trials", "", "--searchers", "", "--set-all", ""]
    words += ["--dataset", "", "--workers", "", "--gpus", "", "--resume", "", "--promote", ""]
    given, default = (
        build_parser().parse_args(arguments) for arguments in (words, ["tune", *words[1:3]])
    )
    given.settings = [setting for setting in given.settings if setting]
    assert vars(given) == {**vars(default), "parser": given.parser}


def test_the_record_has_the_shortest_command() -> None:
    words = ["tune", "--study", "s.yaml", "--trials", "", "--seeds", "5", "--dataset", "auto"]
    words += ["--set", "confirm.top_k=3", "--set-all", "seed=1 name='a b'", "--allow-change"]
    command = _shortest_command(build_parser().parse_args(words))
    assert command == (
        "tuning tune --study s.yaml --set confirm.seeds=5 --set confirm.top_k=3 --set seed=1 "
        "--set 'name=a b' --allow-change True"
    )


def test_the_plan_applies_the_options(tmp_path: Path) -> None:
    settings = ("budget.trials=7", "searchers=random", "seed=3", "space.units.high=64")
    plan = make_plan(Options(study=STUDY, settings=settings), {})
    units = plan.study.space.root["units"]
    assert isinstance(units, Int)
    assert units.high == 64
    assert plan.study.budget.trials == 7
    assert [spec.name for spec in plan.searchers] == ["random"]
    assert plan.study.seed == 3
    assert plan.tracking_uri.startswith("sqlite:////")


def test_auto_takes_the_fastest_backend_that_is_installed() -> None:
    assert choose_backend("auto") == "jax"
    assert choose_backend("tensorflow") == "tensorflow"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either a text, or a file"),
        (["--text", "a", "--file", "b"], "give either a text, or a file"),
        (["--file", "/no/such/file"], "file: '/no/such/file' cannot be read"),
    ],
)
def test_predict_needs_one_kind_of_input(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "--study", str(STUDY), *arguments]) == EXIT_BAD_INPUT
    assert message in capsys.readouterr().err


def test_an_empty_choice_of_yes_or_no_is_the_default() -> None:
    parser = build_parser()
    clean = ["clean", "--study", "study.yaml", "--dry-run"]
    assert parser.parse_args([*clean, ""]).dry_run is True, "nothing is removed by accident"
    assert parser.parse_args([*clean, "no"]).dry_run is False
    tune = ["tune", "--study", "study.yaml", "--allow-change"]
    assert parser.parse_args([*tune, ""]).allow_change is False
    assert parser.parse_args(tune).allow_change is True
