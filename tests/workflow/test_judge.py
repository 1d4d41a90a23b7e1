"""Models that this machine trained are judged from the workspace, others from the store."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.factories import make_result, make_trial
from tuning.core.trial import Phase, TrialRecord
from tuning.workflow.judge import model_files
from tuning.workflow.study_run import StudyRun


def confirmed(name: str, file: Path | None) -> TrialRecord:
    artifacts = {} if file is None else {"model": str(file)}
    trial = make_trial(name, phase=Phase.CONFIRM)
    return TrialRecord(
        trial=trial, result=make_result(artifacts=artifacts), model_id=f"id-of-{name}"
    )


def test_only_models_that_are_not_here_are_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads: list[str] = []

    def download(model_id: str, folder: Path) -> Path:
        downloads.append(model_id)
        file = folder / model_id
        file.write_text("from the store")
        return file

    monkeypatch.setattr("tuning.workflow.judge.download_keras_file", download)
    here, gone = tmp_path / "here.keras", tmp_path / "gone.keras"
    here.write_text("from the workspace")
    trained = [confirmed("here", here), confirmed("gone", gone), confirmed("uploaded", None)]
    earlier = confirmed("earlier", None)
    study_run = cast(StudyRun, SimpleNamespace(driver=SimpleNamespace(records=trained)))
    # The record that is read back from MLflow knows no files of this machine.
    read = [replace(record, result=make_result()) for record in [*trained, earlier]]
    with model_files(study_run, read) as files:
        contents: dict[str, Any] = {name: file.read_text() for name, file in files.items()}
    assert contents.pop("here") == "from the workspace"
    assert set(contents.values()) == {"from the store"}
    assert downloads == ["id-of-gone", "id-of-uploaded", "id-of-earlier"]
    assert here.exists()
