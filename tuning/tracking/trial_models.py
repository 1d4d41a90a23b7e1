"""Logs the models of trials: a run has at most one model, and a model always has its file."""

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.core.interfaces import UploadTarget
from tuning.core.trial import Phase, Trial, TrialResult, TrialState
from tuning.study.file import Study
from tuning.tracking.keras_flavour import MODEL_FILE, ModelPlace, log_keras_model, put_file
from tuning.tracking.retry import RetryPolicy, is_store_error, or_none
from tuning.tracking.store import create_model, credentials

if TYPE_CHECKING:
    from mlflow import MlflowClient

_log = logging.getLogger(__name__)


@dataclass
class TrialRun:
    """The run of a trial and its model.

    Attributes:
        run_id: Id of the run.
        model_id: Id of the logged model; None if there is none.
        logged: Whether MLflow has the model, perhaps still without its file.
        last_step: Last logged epoch, so that a retry logs no epoch twice.
    """

    run_id: str
    model_id: str | None = None
    logged: bool = False
    last_step: int = 0


class TrialModels:
    """The models of a study's trials. Every call may be repeated after an outage.

    Args:
        client: Client of the MLflow store.
        study: Study that says which models are kept.
    """

    def __init__(self, client: "MlflowClient", study: Study) -> None:
        self._client = client
        self._study = study

    def find(self, run_id: str) -> TrialRun:
        """Returns a run with the model that an earlier process has logged under it."""
        from mlflow.entities import LoggedModelStatus

        outputs = self._client.get_run(run_id).outputs
        for output in outputs.model_outputs if outputs else []:
            # A run still lists models that were deleted.
            model = or_none(partial(self._client.get_logged_model, output.model_id))
            if model is not None and model.status == LoggedModelStatus.READY:
                return TrialRun(run_id, output.model_id, logged=True)
        return TrialRun(run_id)

    def keeps(self, trial: Trial, result: TrialResult) -> bool:
        """Returns whether the trial's model is kept in MLflow."""
        is_selected = self._study.keep_models == "all" or trial.phase is not Phase.SEARCH
        # The training of a pruned trial is not finished, so its model has no use.
        return is_selected and result.state is TrialState.COMPLETED and not result.reused_from

    def prepare(
        self,
        run: TrialRun,
        trial: Trial,
        result: TrialResult,
        future: "Future[UploadTarget | None]",
    ) -> None:
        """Logs a model without its file, and sets the future to the upload target of the file."""
        try:
            self._log(run, trial, result, None)
        except Exception as error:
            if is_store_error(error):
                raise
            future.set_exception(error)
        else:
            target = ModelPlace(self._client.tracking_uri, str(run.model_id), credentials())
            future.set_result(target)

    def settle(self, run: TrialRun, trial: Trial, result: TrialResult) -> None:
        """Ensures that the run of an ended trial has a model with its file, or no model."""
        is_complete = run.logged
        if self.keeps(trial, result) and "model" in result.artifacts:
            is_complete = False
            with only_this_trial(trial):
                self._log(run, trial, result, Path(result.artifacts["model"]))
                is_complete = True
        if not (is_complete and self.keeps(trial, result)):
            self._drop(run)

    def _log(self, run: TrialRun, trial: Trial, result: TrialResult, file: Path | None) -> None:
        if run.logged and run.model_id is not None:
            # ``prepare`` or an earlier attempt has logged the model; only the file can be missing.
            if file is not None:
                put_file(self._client, run.model_id, file)
            return
        # An earlier attempt may have failed halfway, and MLflow cannot log a model twice.
        self._drop(run)
        run.model_id = create_model(self._client, run.run_id, trial.name)
        spec_file = Path(result.artifacts["model_spec"])
        log_keras_model(run.model_id, run.run_id, file, spec_file, result.best_step or 0)
        run.logged = True

    def _drop(self, run: TrialRun) -> None:
        if run.model_id is not None:
            self._client.delete_logged_model(run.model_id)
        run.model_id, run.logged = None, False


@contextmanager
def only_this_trial(trial: Trial) -> Iterator[None]:
    """Raises errors of the store, which are retried, and logs all other errors as a warning."""
    try:
        yield
    except Exception as error:
        if is_store_error(error):
            raise
        _log.warning("%s: the files of this trial could not be logged: %s", trial.name, error)


def download_keras_file(model_id: str, folder: Path) -> Path:
    """Downloads the ``.keras`` file of a logged model into a new folder below ``folder``.

    It retries the download during an outage of the store.
    """
    from mlflow.artifacts import download_artifacts

    target = folder / model_id
    target.mkdir()
    downloaded = RetryPolicy()(
        lambda: download_artifacts(artifact_uri=f"models:/{model_id}", dst_path=str(target))
    )
    return Path(downloaded, MODEL_FILE)
