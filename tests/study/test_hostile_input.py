"""Whatever somebody types or puts into a study file: a study, or an error that says so."""

import math
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.conftest import FLAGSHIP
from tests.factories import STUDY
from tuning.cli.main import main
from tuning.core.errors import EXIT_BAD_INPUT, EXIT_OK, BadInputError, redact
from tuning.study.file import Study, load_study, parse_study
from tuning.workflow.summary import Outcome

PLAIN = yaml.safe_load(STUDY)
# What argv can hold: no NUL, no lone surrogate.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
NASTY = st.sampled_from(
    [
        "; touch pwned",
        "$(touch pwned)",
        "`touch pwned`",
        "| cat /etc/passwd",
        "../../../../etc/passwd",
        "/dev/zero",
        "'\"\\",
        "-1",
        "1e400",
        "nan",
        "0x10",
        "١٢",
        "\u202e",
        "a" * 5000,
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | NASTY
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
)
FIELDS = [*Study.model_fields, "bugdet", ""]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, min_size=1, max_size=3))
@example({"task_options": {"limit": math.inf}})
def test_any_value_in_any_field_is_taken_or_explained(changes: dict[str, Any]) -> None:
    try:
        study = parse_study({**PLAIN, **changes}, "study.yaml")
    except BadInputError as error:
        assert "study.yaml is not a valid study" in str(error)
        assert len(str(error)) < 100_000
    else:
        assert parse_study(yaml.safe_load(study.to_yaml()), "again") == study


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["budget", "confirm", "compare", "objective", "limits", "space"]),
    st.dictionaries(st.sampled_from(["trials", "seeds", "epochs", "low", "x"]) | TEXT, VALUES),
)
def test_any_value_within_a_section_is_taken_or_explained(
    section: str, content: dict[str, Any]
) -> None:
    try:
        parse_study({**PLAIN, section: content}, "study.yaml")
    except BadInputError as error:
        assert "study.yaml is not a valid study" in str(error)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=300) | TEXT.map(str.encode))
def test_any_file_is_a_study_or_is_explained(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "study.yaml"
    file.write_bytes(content)
    with pytest.raises(BadInputError, match=r"study\.yaml"):
        load_study(file)


@pytest.mark.parametrize(
    "text",
    [
        "name: !!python/object/apply:os.system ['touch pwned']",
        "name: !!python/name:os.system",
        "!!python/object/new:subprocess.Popen [['touch', 'pwned']]",
        "task_options: &a {b: *a}",
        "[" * 100_000,
        "a: " * 50_000,
        "? " * 5_000,
    ],
    ids=["apply", "name", "popen", "endless", "deep", "colons", "keys"],
)
def test_yaml_that_would_do_harm_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(BadInputError, match=r"study\.yaml"):
        load_study(file)
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Good input ends here, before anything is trained."""
    phases = types.ModuleType("tuning.workflow.phases")
    outcome = Outcome("r", "e")
    phases.tune = phases.train_baseline = lambda plan: outcome  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tuning.workflow.phases", phases)
    monkeypatch.chdir(tmp_path)
    yield


OPTIONS = [
    *("dataset", "searchers", "trials", "epochs", "seeds", "set", "set-all", "workers", "gpus"),
    *("executor", "ray-address", "backend", "timeout", "promote", "resume", "allow-change"),
    "cache-dir",
]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300
)
@given(option=st.sampled_from(OPTIONS), value=TEXT | NASTY | st.integers().map(str))
def test_any_value_of_any_option_is_taken_or_ends_with_2(
    no_work: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    try:
        code = main(["tune", "--study", str(FLAGSHIP), f"--{option}={value}"])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    assert code in (EXIT_OK, EXIT_BAD_INPUT)
    assert "unrecognized arguments" not in capsys.readouterr().err, "there is such an option"
    assert not list(tmp_path.iterdir()), "nothing is written before the work begins"


@pytest.mark.parametrize("study", ["../../etc/passwd", "/dev/null", "", ".", "$(id)", "no.yaml"])
def test_a_study_that_is_none_ends_with_2(
    no_work: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], study: str
) -> None:
    assert main(["tune", "--study", study]) == EXIT_BAD_INPUT
    assert "error: " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "--run-id", "../../etc"],
        ["promote", "--target", "name'; DROP TABLE runs; --/1"],
        ["promote", "--target", "../1"],
        ["predict", "--text", "x", "--model", "/etc"],
        ["predict", "--text", "x", "--model", "models:/../../etc/1"],
        ["predict", "--text", "x", "--model", "http://somewhere/model"],
        ["predict", "--file", "/no/such/file"],
        ["predict", "--text", "x", "--file", "-"],
    ],
)
def test_addresses_of_other_things_end_with_2(
    client: object, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([arguments[0], "--study", str(FLAGSHIP), *arguments[1:]]) == EXIT_BAD_INPUT
    assert "error: " in capsys.readouterr().err


def test_messages_hide_who_logs_in_where() -> None:
    assert redact("at https://me:pw@host:5/x and postgresql://u:p@db/y") == (
        "at https://***@host:5/x and postgresql://***@db/y"
    )
    assert redact("at postgresql://u:pa/ss@w@host/db") == "at postgresql://***@host/db"
