"""The parent run of a study of Optuna, which several processes and later ones share."""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import optuna

from tuning.tracking.keys import NOTE
from tuning.tracking.store import get_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Attribute of a study in Optuna's storage: the id of its parent run.
PARENT_ATTRIBUTE = "mlflow_parent_run_id"
STUDY_TAG = "optuna.study"
# Time in which processes that begin at once agree on one parent run.
SETTLE_SECONDS = 1.0


class ParentFinder:
    """Finds or creates the parent runs of studies.

    Args:
        client: Client of the MLflow store.
        kwargs: ``experiment_id``, ``run_name``, ``tags`` and ``description`` of new runs.
        create_experiment: Whether the experiment is named after the study.
    """

    def __init__(
        self, client: "MlflowClient", kwargs: Mapping[str, Any], create_experiment: bool
    ) -> None:
        self._client = client
        self._kwargs = kwargs
        self._create_experiment = create_experiment
        # Worker threads of Optuna do not see the active run of the caller.
        self._caller = _active_run()

    def find(self, study: optuna.Study) -> str:
        """Returns the id of the parent run of a study; creates one if there is none."""
        if recorded := self._recorded(study):
            return recorded
        outer = self._outer_run()
        created = outer or self._create_parent(study)
        if recorded := self._recorded(study):
            self._forget(created, outer)
            return recorded
        study.set_user_attr(PARENT_ATTRIBUTE, created)
        if type(study._storage).__name__ != "InMemoryStorage":
            # Another process may have written its own at the same time; the last one counts.
            time.sleep(SETTLE_SECONDS)
            recorded = str(study.user_attrs[PARENT_ATTRIBUTE])
            if recorded != created:
                self._forget(created, outer)
                return recorded
        self._describe_parent(study, created)
        return created

    def _recorded(self, study: optuna.Study) -> str:
        run_id = str(study.user_attrs.get(PARENT_ATTRIBUTE, ""))
        if not run_id:
            return ""
        from mlflow.exceptions import MlflowException

        try:
            run = self._client.get_run(run_id)
        except MlflowException:  # of another store, or deleted for good
            return ""
        return run_id if run.info.lifecycle_stage == "active" else ""

    def _outer_run(self) -> str:
        """Returns the run that ``mlflow run`` or the caller has opened; empty without one."""
        run_id = _active_run() or self._caller or os.environ.get("MLFLOW_RUN_ID", "")
        if not run_id:
            return ""
        from mlflow.exceptions import MlflowException

        try:
            self._client.get_run(run_id)
        except MlflowException:  # it is in another store
            return ""
        return str(run_id)

    def _create_parent(self, study: optuna.Study) -> str:
        run = self._client.create_run(
            self._experiment(study),
            run_name=self._kwargs.get("run_name", study.study_name),
            tags={STUDY_TAG: study.study_name, **run_tags(self._kwargs)},
        )
        return str(run.info.run_id)

    def _experiment(self, study: optuna.Study) -> str:
        if "experiment_id" in self._kwargs:
            return str(self._kwargs["experiment_id"])
        if self._create_experiment:
            return get_experiment(self._client, study.study_name)
        from mlflow.tracking.fluent import _get_experiment_id

        return str(_get_experiment_id())

    def _forget(self, created: str, outer: str) -> None:
        if not outer:
            self._client.delete_run(created)

    def _describe_parent(self, study: optuna.Study, parent: str) -> None:
        directions = [direction.name.lower() for direction in study.directions]
        self._client.set_tag(parent, STUDY_TAG, study.study_name)
        self._client.set_tag(parent, "direction", ", ".join(directions))
        self._client.set_tag(parent, "sampler", type(study.sampler).__name__)
        self._client.set_tag(parent, "pruner", type(study.pruner).__name__)


def _active_run() -> str:
    import mlflow

    active = mlflow.active_run()
    return str(active.info.run_id) if active else ""


def run_tags(kwargs: Mapping[str, Any]) -> dict[str, str]:
    """Returns the tags of every run, with its description."""
    tags = {str(key): str(value) for key, value in kwargs.get("tags", {}).items()}
    if "description" in kwargs:
        tags[NOTE] = str(kwargs["description"])
    return tags
