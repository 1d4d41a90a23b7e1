"""What a worker's machine logs itself, and what the tracker then leaves alone."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.factories import make_result, make_study, make_trial
from tuning.protocols import DataInfo
from tuning.tracking import names
from tuning.tracking.delivery import Delivery
from tuning.tracking.mlflow_tracker import MlflowTracker
from tuning.trial import Phase, TrialResult, TrialState

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDY = make_study()
DATA = DataInfo(label="toy", name="toy", source="here", digest="d" * 64, sizes={"train": 5})
TOKEN = "study-1"
SPEC = {"dtype": "float32", "shape": [-1, 2]}


@pytest.fixture
def parent(client: "MlflowClient") -> str:
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    tags = {names.WORKSPACE: TOKEN}
    return str(client.create_run(experiment.experiment_id, tags=tags).info.run_id)


def trained(folder: Path, state: TrialState = TrialState.COMPLETED) -> TrialResult:
    """A result whose files are on this machine."""
    folder.mkdir(exist_ok=True)
    files = {"model": folder / "model.keras", "model_spec": folder / "model_spec.json"}
    files["model"].write_bytes(b"k" * 1_000)
    spec: Mapping[str, Any] = {"inputs": [SPEC], "outputs": [SPEC], "keras_backend": "jax"}
    files["model_spec"].write_text(json.dumps(spec))
    result = make_result((0.5, 0.7, 0.6), state)
    return replace(result, artifacts={kind: str(file) for kind, file in files.items()})


def make_delivery(client: "MlflowClient", keep: Any = "all") -> Delivery:
    return Delivery(client.tracking_uri, TOKEN, keep)


def test_model_and_curves_are_logged_once_and_the_files_are_gone(
    client: "MlflowClient", parent: str, tmp_path: Path
) -> None:
    experiment_id = client.get_run(parent).info.experiment_id
    tracker = MlflowTracker(client, experiment_id, parent, STUDY, DATA)
    trial, result = make_trial("random-000"), trained(tmp_path / "trial")
    tracker.trial_started(trial)
    tracker.flush()
    delivered = make_delivery(client)(trial, result)
    assert delivered == replace(result, artifacts={}, logged_model=delivered.logged_model)
    assert delivered.logged_model
    assert not list((tmp_path / "trial").iterdir())
    run_id = tracker.run_id("random-000")
    drawn = {file.path: file.file_size for file in client.list_artifacts(run_id)}
    assert set(drawn) == {"history.csv", "curves.png"}
    tracker.trial_finished(trial, delivered)
    tracker.flush()
    tracker.close()
    run = client.get_run(run_id)
    assert run.data.tags[names.MODEL] == delivered.logged_model
    assert run.data.tags[names.LOGGED_BY]
    assert run.info.status == "FINISHED"
    assert [output.model_id for output in run.outputs.model_outputs] == [delivered.logged_model]
    assert {f.path: f.file_size for f in client.list_artifacts(run_id)} == drawn


def test_an_attempt_whose_answer_was_lost_leaves_no_second_model(
    client: "MlflowClient", parent: str, tmp_path: Path
) -> None:
    trial, run_id = make_trial("random-000"), open_run(client, parent, "random-000")
    first = make_delivery(client)(trial, trained(tmp_path / "trial"))
    again = make_delivery(client)(replace(trial, attempt=1), trained(tmp_path / "trial"))
    assert again.logged_model == first.logged_model
    assert len(client.get_run(run_id).outputs.model_outputs) == 1


def test_models_that_the_study_does_not_keep_are_not_logged(
    client: "MlflowClient", parent: str, tmp_path: Path
) -> None:
    deliver = make_delivery(client, "confirmed")
    for name, phase, kept in (("a", Phase.SEARCH, False), ("b", Phase.CONFIRM, True)):
        run_id = open_run(client, parent, name)
        delivered = deliver(make_trial(name, phase=phase), trained(tmp_path / name))
        assert delivered.logged_model is not None
        assert bool(delivered.logged_model) is kept
        assert client.list_artifacts(run_id)
        assert not list((tmp_path / name).iterdir())


@pytest.mark.parametrize("state", [TrialState.PRUNED, TrialState.FAILED])
def test_what_was_not_completed_is_left_to_the_driver(
    client: "MlflowClient", tmp_path: Path, state: TrialState
) -> None:
    result = trained(tmp_path / "trial", state)
    assert make_delivery(client)(make_trial("random-000"), result) is result


def test_the_files_stay_where_a_delivery_fails(
    client: "MlflowClient", parent: str, tmp_path: Path
) -> None:
    result = trained(tmp_path / "trial")
    with pytest.raises(LookupError, match="random-000"):
        make_delivery(client)(make_trial("random-000"), result)
    assert all(Path(path).exists() for path in result.artifacts.values())


def open_run(client: "MlflowClient", parent: str, name: str) -> str:
    tags = {names.PARENT: parent, names.TRIAL: name}
    experiment_id = client.get_run(parent).info.experiment_id
    return str(client.create_run(experiment_id, tags=tags).info.run_id)
