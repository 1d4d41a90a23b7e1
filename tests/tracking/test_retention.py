"""What ``clean`` lists and removes."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.factories import make_result, make_study, make_trial
from tuning.core.task import DataInfo
from tuning.core.trial import Phase, TrialRecord
from tuning.study.record import StudyRecord
from tuning.tracking import keys
from tuning.tracking.retention import Keep, removable, remove

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture
def record(client: "MlflowClient") -> StudyRecord:
    """Two trials of the search and two seeds of a candidate, each with a model of one file."""
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    trials = []
    for name, phase in (
        ("random-000", Phase.SEARCH),
        ("random-001", Phase.SEARCH),
        ("confirm-random-001-seed1", Phase.CONFIRM),
        ("confirm-random-001-seed2", Phase.CONFIRM),
    ):
        run = client.create_run(experiment.experiment_id)
        model = client.create_logged_model(
            experiment.experiment_id, name=name, source_run_id=run.info.run_id
        )
        folder = Path(model.artifact_location.removeprefix("file://"))
        folder.mkdir(parents=True)
        (folder / "model.keras").write_bytes(b"k" * 1_000)
        tags = {keys.CANDIDATE: "random-001"} if phase is Phase.CONFIRM else {}
        trials.append(
            TrialRecord(
                trial=make_trial(name, phase=phase, number=int(name[-1]), tags=tags),
                result=make_result(),
                run_id=run.info.run_id,
                model_id=model.model_id,
            )
        )
    data = DataInfo(label="toy", name="toy", source="s", digest="d", sizes={})
    return StudyRecord(
        run_id="r",
        experiment_id=experiment.experiment_id,
        study=make_study(),
        written=make_study(),
        data=data,
        tags={},
        metrics={},
        trials=tuple(trials),
        predictions=None,
        started_ms=0,
    )


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("all", []),
        ("confirmed", ["random-000", "random-001"]),
        ("first_seeds", ["random-000", "random-001", "confirm-random-001-seed2"]),
    ],
)
def test_the_policy_says_whose_models_may_go(
    client: "MlflowClient", record: StudyRecord, keep: Keep, expected: list[str]
) -> None:
    found = removable(client, record, keep)
    assert [model.trial for model in found] == expected
    assert all(model.bytes == 1_000 for model in found)


def test_what_is_removed_is_gone_and_nothing_else(
    client: "MlflowClient", record: StudyRecord
) -> None:
    found = removable(client, record, "confirmed")
    remove(client, found)
    assert removable(client, record, "confirmed") == []
    for trial in record.trials:
        left = list(Path().rglob(f"{trial.model_id}/**/model.keras"))
        assert bool(left) is (trial.trial.phase is not Phase.SEARCH)


def test_a_registered_model_always_stays(client: "MlflowClient", record: StudyRecord) -> None:
    precious = record.trials[0]
    client.create_registered_model("mine")
    client.create_model_version("mine", f"models:/{precious.model_id}", model_id=precious.model_id)
    found = removable(client, record, "confirmed")
    assert [model.trial for model in found] == ["random-001"]
