"""Writes the record of a study to MLflow in separate threads, in the right order per trial.

Every call passes the id of the run to ``MlflowClient``. MLflow's fluent interface is never used:
its active run belongs to one thread, and the variable MLFLOW_RUN_ID would change it.
"""

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core.interfaces import UploadTarget
from tuning.core.task import DataInfo
from tuning.core.trial import Measurement, Phase, Trial, TrialRecord, TrialResult, TrialState
from tuning.study.file import Study
from tuning.tracking import keys
from tuning.tracking.retry import RetryPolicy, TrackerError
from tuning.tracking.trial_files import draw_curves, write_history
from tuning.tracking.trial_models import TrialModels, TrialRun, only_this_trial
from tuning.tracking.writers import Writers
from tuning.training.workspace import clear

if TYPE_CHECKING:
    from mlflow import MlflowClient

_log = logging.getLogger(__name__)

MAX_TAG = 5_000


class MlflowTracker:
    """A tracker that records a study in MLflow. The parent run must be open.

    Args:
        client: Client of the MLflow store.
        experiment_id: Id of the parent run's experiment.
        parent_id: Id of the parent run.
        study: Study to record.
        data: Description of the data.
        workspace: Folder with one folder per trial. A trial's folder is cleared once MLflow has
            its files. With None, only the model and its specification are removed.
        on_failure: Callback without arguments. It is called once, from a thread of the tracker,
            when the tracker gives up. Trials that are trained after that are not recorded.
        retry_policy: Retry policy for the store.
        writers: Number of threads that write. Each trial is written by one thread.
    """

    def __init__(
        self,
        client: "MlflowClient",
        experiment_id: str,
        parent_id: str,
        study: Study,
        data: DataInfo,
        workspace: Path | None = None,
        *,
        on_failure: Callable[[], None] = lambda: None,
        retry_policy: RetryPolicy | None = None,
        writers: int = 1,
    ) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._parent_id = parent_id
        self._study = study
        self._data = data
        self._workspace = workspace
        self._models = TrialModels(client, study)
        # A monotonic clock: if the system clock jumps, curves must not run backwards.
        self._clock_origin = time.time() - time.monotonic()
        self._runs: dict[str, TrialRun] = {}
        self._tried: set[str] = set()
        self._resumed = False
        self._best: dict[str, float] = {}
        self._ended: dict[str, int] = {}
        self._writers = Writers(writers, retry_policy or RetryPolicy(), on_failure)

    def restore(self, records: Sequence[TrialRecord]) -> None:
        """Reads the records of an earlier process, so that ``best_so_far`` continues from them."""
        self._resumed = True
        ended = [r for r in records if r.result.state is not TrialState.INTERRUPTED]
        for record in sorted(ended, key=lambda record: record.ended_ms):
            self._count_best(record.trial, record.result)

    def run_id(self, name: str) -> str:
        """Returns the run id of a trial. Call ``flush`` before."""
        return self._runs[name].run_id

    def trial_started(self, trial: Trial) -> None:
        """Opens the trial's run."""
        now = self._now_ms()
        self._writers.put(trial.name, lambda: self._open(trial, now))

    def measured(self, trial: Trial, measurement: Measurement) -> None:
        """Logs the metrics of an epoch."""
        now = self._now_ms()
        self._writers.put(trial.name, lambda: self._log_epoch(trial.name, measurement, now))

    def trial_finished(self, trial: Trial, result: TrialResult) -> None:
        """Logs the result, the model and the files of a trial, and closes its run."""
        now = self._now_ms()
        best = self._count_best(trial, result)
        self._writers.put(trial.name, lambda: self._finish(trial, result, best, now))

    def upload_target(self, trial: Trial, result: TrialResult) -> "Future[UploadTarget | None]":
        """Returns a future of the upload target of a trained model.

        Call it before ``trial_finished``. It logs the model without its file. None means that the
        model is not kept; an exception means that it has to come to the driver's machine instead.
        During an outage of the store, the future stays pending.
        """
        future: Future[UploadTarget | None] = Future()

        def prepare() -> None:
            self._models.prepare(self._runs[trial.name], trial, result, future)

        if self._models.keeps(trial, result):
            self._writers.put(trial.name, prepare)
        else:
            future.set_result(None)
        return future

    def flush(self) -> None:
        """Blocks until all earlier calls are written to the store.

        Raises:
            TrackerError: The tracker has given up, so some calls are not written.
        """
        self._writers.flush()

    def raise_error(self) -> None:
        """Raises TrackerError if the tracker has given up."""
        self._writers.raise_error()

    def give_up(self, reason: str) -> None:
        """Stops writing. Later calls have no effect; ``reason`` is the message of the error."""
        self._writers.give_up(TrackerError(reason))

    def close(self) -> None:
        """Writes all earlier calls and ends the threads."""
        self._writers.close()

    def _now_ms(self) -> int:
        return int((self._clock_origin + time.monotonic()) * 1000)

    def _open(self, trial: Trial, now: int) -> None:
        from mlflow.entities import Param

        if trial.name not in self._runs:
            # A search takes as long as a creation, and a new study has no earlier runs.
            found = self._find(trial.name) if self._resumed or trial.name in self._tried else None
            self._tried.add(trial.name)
            self._runs[trial.name] = found or TrialRun(self._create(trial, now))
        run_id = self._runs[trial.name].run_id
        # A hyperparameter that does not exist in this trial must not seem to have a value.
        training = {
            name: number
            for name, number in self._study.training.resolve(trial.params).items()
            if name not in self._study.space.names
        }
        params = {**training, **trial.params, "seed": trial.seed, "epochs": trial.epochs}
        self._client.set_tag(run_id, keys.ATTEMPT, str(trial.attempt))
        self._client.log_inputs(run_id, datasets=dataset_inputs(self._data, "training"))
        # The params come last: a run that has params counts as a trial that can be resumed.
        self._client.log_batch(run_id, params=[Param(k, str(v)) for k, v in params.items()])

    def _find(self, name: str) -> TrialRun | None:
        """Finds and reopens the run of a trial that an earlier process or attempt has created."""
        runs = self._client.search_runs(
            [self._experiment_id],
            f"tags.`{keys.PARENT}` = '{self._parent_id}' and tags.`{keys.TRIAL}` = '{name}'",
            max_results=1,
        )
        if not runs:
            return None
        run_id, objective = runs[0].info.run_id, self._study.objective.metric
        self._client.update_run(run_id, status="RUNNING")
        history = self._client.get_metric_history(run_id, objective)
        run = self._models.find(run_id)
        run.last_step = max((metric.step for metric in history), default=0)
        return run

    def _create(self, trial: Trial, now: int) -> str:
        tags = {
            keys.PARENT: self._parent_id,
            keys.PHASE: trial.phase.value,
            keys.SEARCHER: trial.searcher,
            keys.TRIAL: trial.name,
            keys.NUMBER: str(trial.number),
            keys.SEED: str(trial.seed),
            keys.CONFIG: self._study.config_id(trial.params),
            keys.DATASET: self._data.label,
            **trial.tags,
        }
        if trial.resume_from is not None:
            tags[keys.RESUME_FROM] = trial.resume_from
        if trial.keep_checkpoint:
            tags[keys.KEEP_CHECKPOINT] = "yes"
        run = self._client.create_run(
            self._experiment_id, start_time=now, tags=tags, run_name=trial.name
        )
        return str(run.info.run_id)

    def _log_epoch(self, name: str, measurement: Measurement, now: int) -> None:
        from mlflow.entities import Metric

        run, step = self._runs[name], measurement.step
        # A retried trial repeats the same epochs with the same seed.
        if step > run.last_step:
            metrics = [Metric(key, value, now, step) for key, value in measurement.metrics.items()]
            # MLflow's compare page shows the metric that was logged first.
            metrics.sort(key=lambda metric: metric.key != self._study.objective.metric)
            self._client.log_batch(run.run_id, metrics=metrics)
            run.last_step = step

    def _finish(
        self, trial: Trial, result: TrialResult, best: tuple[int, float] | None, now: int
    ) -> None:
        from mlflow.entities import Metric, RunTag

        run, step = self._runs[trial.name], result.best_step or 0
        tags = {
            keys.STATE: result.state.value,
            keys.WORKER: result.worker,
            keys.CONFIG: self._study.config_id(trial.params),
            # An empty value replaces the reason of an earlier attempt.
            keys.STOP_REASON: result.stop_reason,
        }
        if result.failure is not None:
            tags[keys.FAILURE] = f"{result.failure.kind.value}: {result.failure.message}"
        elif trial.attempt:
            tags[keys.FAILURE] = ""
        self._models.settle(run, trial, result)
        if run.model_id is not None:
            tags[keys.MODEL] = run.model_id
        facts = self._once(result).items()
        metrics = [Metric(key, value, now, step, model_id=run.model_id) for key, value in facts]
        self._client.log_batch(run.run_id, metrics=metrics)
        if result.reused_from:
            tags[keys.REUSED_FROM] = result.reused_from
        with only_this_trial(trial):
            self._log_files(run.run_id, trial, result)
        logged_tags = [RunTag(key, value[:MAX_TAG]) for key, value in tags.items()]
        self._client.log_batch(run.run_id, tags=logged_tags)
        self._client.set_terminated(run.run_id, keys.RUN_STATUS[result.state], end_time=now)
        if best is not None:
            ended, value = best
            key = keys.best_so_far(trial.searcher)
            self._client.log_metric(self._parent_id, key, value, timestamp=now, step=ended)
        self._clear(trial, result)

    def _clear(self, trial: Trial, result: TrialResult) -> None:
        """Removes the local files of a trial that are no longer needed."""
        is_tested = trial.phase in keys.TESTED and result.state is TrialState.COMPLETED
        if is_tested and self._workspace is not None:
            # The model is still needed for the test split, and perhaps for the registry.
            for file in (self._workspace / trial.name).glob("*"):
                kept = (result.artifacts.get(kind) for kind in ("model", "predictions"))
                if str(file) not in kept:
                    file.unlink(missing_ok=True)
            return
        for artifact in result.artifacts.values():
            Path(artifact).unlink(missing_ok=True)
        # A resumed study trains such a trial again, from its checkpoint.
        failure = result.failure
        is_resumable = result.state is TrialState.INTERRUPTED or (
            failure is not None and failure.kind.ends_study
        )
        if self._workspace is not None and not is_resumable and not trial.keep_checkpoint:
            clear(self._workspace / trial.name)

    def _once(self, result: TrialResult) -> dict[str, float]:
        metrics: dict[str, float] = {}
        if result.value is not None and result.best_step is not None:
            metrics[keys.best_value(self._study.objective.metric)] = round(result.value, 6)
            metrics[keys.BEST_EPOCH] = result.best_step
        metrics[keys.TRAIN_SECONDS] = round(result.duration_s, 3)
        if result.inherited:
            metrics[keys.INHERITED] = result.inherited
        return {**metrics, **result.facts}

    def _log_files(self, run_id: str, trial: Trial, result: TrialResult) -> None:
        with tempfile.TemporaryDirectory() as folder:
            if result.measurements:
                write_history(result.measurements, Path(folder, keys.HISTORY_FILE))
                draw_curves(
                    trial.name,
                    result.measurements,
                    result.best_step,
                    Path(folder, keys.CURVES_FILE),
                )
            if result.failure is not None:
                text = result.failure.traceback or result.failure.message
                Path(folder, keys.FAILURE_FILE).write_text(text, "utf-8")
            if "predictions" in result.artifacts:
                file = Path(result.artifacts["predictions"])
                Path(folder, keys.TEST_FOLDER).mkdir()
                shutil.copyfile(file, Path(folder, keys.TEST_FOLDER, file.name))
            self._client.log_artifacts(run_id, folder)

    def _count_best(self, trial: Trial, result: TrialResult) -> tuple[int, float] | None:
        """Counts a search trial. Returns its searcher's ended trials and best value, if any."""
        if trial.phase is not Phase.SEARCH:
            return None
        searcher, objective = trial.searcher, self._study.objective
        self._ended[searcher] = self._ended.get(searcher, 0) + 1
        value = result.value if result.state is TrialState.COMPLETED else None
        if value is not None and objective.better(value, self._best.get(searcher)):
            self._best[searcher] = round(value, 6)
        if searcher not in self._best:
            return None
        return self._ended[searcher], self._best[searcher]


def dataset_inputs(data: DataInfo, context: str) -> list[Any]:
    """Describes the data set for MLflow, with the digest of all data.

    The digest that MLflow computes covers only the first rows.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=data.name,
        digest=data.digest[:36],  # MLflow's limit
        source_type="local",
        source=json.dumps({"uri": data.source}),
        profile=json.dumps(dict(data.sizes)),
    )
    return [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])]
