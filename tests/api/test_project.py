"""The project that ``tuning init`` writes."""

from pathlib import Path

import pytest
import yaml

from tuning.api.project import write_project
from tuning.cli.main import main
from tuning.core.errors import BadInputError


def test_a_project_has_what_others_need_to_run_it(tmp_path: Path) -> None:
    wheel = tmp_path / "tuning_keras-0.2-py3-none-any.whl"
    wheel.touch()
    folder = tmp_path / "my churn"
    files = write_project(folder, str(wheel))
    assert all(file.read_text() for file in files)
    project = yaml.safe_load((folder / "MLproject").read_text())
    assert project["name"] == "my-churn"
    assert "python -m tuning tune study.py" in project["entry_points"]["tune"]["command"]
    assert (folder / project["python_env"]).exists()
    first, *pins = (folder / "requirements.txt").read_text().splitlines()
    assert first == f"tuning-keras @ {wheel.as_uri()}"
    assert all("==" in pin for pin in pins) and any(pin.startswith("keras==") for pin in pins)


def test_a_reference_is_taken_as_it_is(tmp_path: Path) -> None:
    write_project(tmp_path / "p", "git+https://example.org/tuning@v1")
    text = (tmp_path / "p/requirements.txt").read_text()
    assert text.startswith("tuning-keras @ git+https://example.org/tuning@v1\n")


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.py").write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    assert "study.py exists already; choose another folder" in capsys.readouterr().err
    assert (tmp_path / "study.py").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_source_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"source: there is no 'nowhere.whl'"):
        write_project(tmp_path / "p", "nowhere.whl")
    assert not (tmp_path / "p").exists()
