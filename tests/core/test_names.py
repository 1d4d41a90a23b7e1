"""What MLflow would refuse is mapped or refused before anything starts."""

from typing import TYPE_CHECKING, Any

import pytest

from tests.factories import make_study
from tuning.core.errors import BadInputError
from tuning.core.names import MAX_NAME, storable_metric
from tuning.study.sections import Objective
from tuning.training.recorder import numbers_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAMES = [
    *("auc@pr", "f1[0]", "top-5 (%)", "a/b", "a//b", "../up", "/root", ".", "..", "a/../b", "é"),
    *("x" * 300, "recall:0.5", "p=0.9", "a\nb", "a/", "", "./a", "a/./b"),
]


@pytest.mark.parametrize("name", ["loss", "val_accuracy", "f1_score_0", "top 5", "a/b", "a-b.c"])
def test_names_that_can_be_stored_stay(name: str) -> None:
    assert storable_metric(name) == name


def test_every_other_name_is_mapped_to_one_that_mlflow_takes(client: "MlflowClient") -> None:
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    run_id = client.create_run(experiment.experiment_id).info.run_id
    for name in NAMES:
        for prefix in ("", "val_", "best_val_"):
            stored = prefix + storable_metric(name)
            client.log_metric(run_id, stored, 1.0)
            assert stored in client.get_run(run_id).data.metrics
    assert len({storable_metric("x" * 300), storable_metric("x" * 301)}) == 2


def test_an_objective_is_found_under_its_stored_name() -> None:
    objective = Objective(metric="val_auc@pr", direction="maximize")
    assert objective.metric in numbers_of({"val_auc@pr": 0.5, "loss": 1.0})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fixed": {"batch_size": 16, "w@x": 1}}, "fixed: 'w@x' is not a name"),
        ({"fixed": {"batch_size": 16, "y" * 300: 1}}, f"300 characters; at most {MAX_NAME}"),
        (
            {"fixed": {"batch_size": 16, "text": "b" * 7_000}},
            "a value of text has 7000 characters",
        ),
        (
            {"space": {"kind": {"type": "choice", "values": ["a", "b" * 7_000]}}},
            "a value of kind has 7000 characters",
        ),
        ({"space": {"z" * 300: {"type": "int", "low": 1, "high": 2}}}, "at most 200"),
    ],
)
def test_hyperparameters_that_cannot_be_stored_are_refused(changes: Any, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        make_study(**changes)
