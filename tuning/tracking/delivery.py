"""Logs what a trial leaves behind from the machine that trained it, without the driver."""

import os
import socket
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.tracking import names
from tuning.tracking.curves import write_curves
from tuning.tracking.patience import without_mlflow_retries
from tuning.tracking.retention import Keep, is_kept
from tuning.trial import Trial, TrialResult, TrialState

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True)
class Delivery:
    """Logs model and curves of a completed trial under the run that the driver opened for it.

    Credentials are those of the environment of the machine it is called on.

    Attributes:
        tracking_uri: A tracking server that this machine reaches.
        workspace: Tag of the study's parent run, which is opened after the workers are started.
        keep: Whose models are kept.
    """

    tracking_uri: str
    workspace: str
    keep: Keep

    def __call__(self, trial: Trial, result: TrialResult) -> TrialResult:
        """Logs what it can.

        Args:
            trial: The trial.
            result: With the files of this machine in ``artifacts``.

        Returns:
            A result without files, with ``logged_model`` set; of a trial that was not completed
            the given one.

        Raises:
            Exception: Whatever MLflow raises. The files are still there, and the driver can log
                them.
        """
        if result.state is not TrialState.COMPLETED:
            return result
        with without_mlflow_retries():
            model_id = self._log(trial, result)
        for path in result.artifacts.values():
            Path(path).unlink(missing_ok=True)
        return replace(result, artifacts={}, logged_model=model_id)

    def _log(self, trial: Trial, result: TrialResult) -> str:
        import mlflow

        from tuning.tracking.keras_model import log_keras_model

        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        mlflow.set_tracking_uri(self.tracking_uri)
        client = mlflow.MlflowClient(self.tracking_uri)
        run = self._find(client, trial.name)
        model_id = ""
        if "model" in result.artifacts and is_kept(self.keep, trial):
            model_id = _ready_model(client, run) or log_keras_model(
                run.info.run_id,
                trial.name,
                Path(result.artifacts["model"]),
                Path(result.artifacts["model_spec"]),
                result.best_step or 0,
            )
        with tempfile.TemporaryDirectory() as folder:
            write_curves(trial.name, result, Path(folder))
            client.log_artifacts(run.info.run_id, folder)
        client.set_tag(run.info.run_id, names.LOGGED_BY, f"{socket.gethostname()}:{os.getpid()}")
        return model_id

    def _find(self, client: "MlflowClient", name: str) -> "Run":
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        parent = _only(client, experiments, f"tags.`{names.WORKSPACE}` = '{self.workspace}'")
        return _only(
            client,
            [parent.info.experiment_id],
            f"tags.`{names.PARENT}` = '{parent.info.run_id}' and tags.`{names.TRIAL}` = '{name}'",
        )


def _only(client: "MlflowClient", experiments: list[str], condition: str) -> "Run":
    runs = client.search_runs(experiments, condition, max_results=1)
    if not runs:
        raise LookupError(f"no run has {condition} yet")
    return runs[0]


def _ready_model(client: "MlflowClient", run: "Run") -> str:
    """The model that an attempt whose answer was lost has logged; empty if there is none."""
    from mlflow.entities import LoggedModelStatus

    for output in run.outputs.model_outputs if run.outputs else []:
        if client.get_logged_model(output.model_id).status == LoggedModelStatus.READY:
            return str(output.model_id)
    return ""
