"""What a study leaves in MLflow has the names that the reference lists."""

import re
from typing import Any

import pytest

from docs.pages import ROOT
from tests.conftest import CommandResult

PAGE = (ROOT / "docs/reference/mlflow.md").read_text("utf-8")
pytestmark = pytest.mark.slow


def listed(owner: str) -> "re.Pattern[str]":
    """The names of a table as one pattern; ``<metric>`` stands for any name."""
    (table,) = re.findall(
        rf"<!-- begin names/{owner} -->(.*?)<!-- end names/{owner} -->", PAGE, re.DOTALL
    )
    names = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    assert len(names) > 2
    patterns = [re.sub(r"<\w+>|…", ".+", re.escape(name).replace(r"\<", "<")) for name in names]
    return re.compile("|".join(patterns))


def unlisted(owner: str, names: Any) -> list[str]:
    pattern = listed(owner)
    return [name for name in names if not pattern.fullmatch(name)]


def test_every_name_of_a_study_and_its_trials_is_listed(finished_study: CommandResult) -> None:
    import mlflow

    store = mlflow.MlflowClient(finished_study.uri)
    found = store.get_experiment_by_name("imdb-lstm-sentiment")
    assert found is not None
    experiment = found.experiment_id
    (parent,) = store.search_runs([experiment], "tags.`tuning.kind` = 'tune'")
    trials = store.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert len(trials) > 5
    ours = [tag for tag in parent.data.tags if tag.startswith("tuning.")]
    assert not unlisted("study", ours)
    assert not unlisted("study", parent.data.metrics)
    files = [item.path for item in store.list_artifacts(parent.info.run_id)]
    assert not unlisted("study", [name for name in files if name != "evaluation"])
    by_epoch = re.compile(r"(val_)?(loss|accuracy)")
    for trial in trials:
        assert not unlisted("trial", [t for t in trial.data.tags if t.startswith("tuning.")])
        metrics = [name for name in trial.data.metrics if not by_epoch.fullmatch(name)]
        assert not unlisted("trial", metrics)
        paths = [item.path for item in store.list_artifacts(trial.info.run_id)]
        assert not unlisted("trial", paths)


def test_every_tag_of_a_registered_version_is_listed(finished_study: CommandResult) -> None:
    import mlflow

    store = mlflow.MlflowClient(finished_study.uri)
    versions = store.search_model_versions("name='imdb-lstm-sentiment-synthetic'")
    assert versions
    for version in versions:
        assert not unlisted("version", [t for t in version.tags if t.startswith("tuning.")])
