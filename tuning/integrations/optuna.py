"""A callback that records a study of Optuna in MLflow: a parent run with a child run per trial.

It takes the arguments of the callback of the same purpose in ``optuna-integration``, which is
deprecated.
"""

import atexit
import functools
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import optuna

from tuning.api.places import open_place
from tuning.core.errors import BadInputError
from tuning.core.names import storable_metric
from tuning.integrations.optuna_failures import TrialFailures
from tuning.integrations.optuna_parent import PARENT_ATTRIBUTE, STUDY_TAG, ParentFinder, run_tags
from tuning.tracking.keys import PARENT
from tuning.tracking.store import all_pages

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Attribute of a trial whose objective runs inside an MLflow run, as in optuna-integration.
RUN_ATTRIBUTE = "mlflow_run_id"
NUMBER_TAG = "number"
# A trial that ended longer ago and has no run was lost with the process that ran it.
LOST_SECONDS = 60.0
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
_MAX_PARAMS, _MAX_TAG = 100, 5_000

Objective = Callable[[optuna.Trial], Any]


class MlflowCallback:
    """Records every trial of a study in MLflow; pass it to ``Study.optimize(callbacks=[…])``.

    The parent run is the one that ``mlflow run`` opened (``MLFLOW_RUN_ID``), the active run of the
    caller, or a new one. A study that goes on, and other processes on the same storage, use the
    same parent run. It works with ``n_jobs``.

    Args:
        tracking_uri: Address of MLflow's store; None for the one that is set in MLflow or in
            MLFLOW_TRACKING_URI, and otherwise ``mlflow.db`` in the current folder.
        metric_name: Name of the objective in MLflow; of several objectives a sequence of names,
            or one name to which their numbers are added.
        create_experiment: Whether the experiment is named after the study. Otherwise it is the
            one that is set in MLflow.
        mlflow_kwargs: ``experiment_id``, ``run_name`` (of the parent run), ``tags`` and
            ``description`` of every run, as of ``mlflow.start_run``. ``nested`` is accepted and
            has no effect, because trials are always nested.
        tag_study_user_attrs: Whether the study's attributes become tags of every trial too.
        tag_trial_user_attrs: Whether a trial's attributes become tags of its run.

    Raises:
        BadInputError: An argument is wrong, or the store cannot be used.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        metric_name: str | Sequence[str] = "value",
        create_experiment: bool = True,
        mlflow_kwargs: Mapping[str, Any] | None = None,
        tag_study_user_attrs: bool = False,
        tag_trial_user_attrs: bool = True,
    ) -> None:
        if not isinstance(metric_name, str | Sequence):
            raise BadInputError(
                f"metric_name: a name or names; got a {type(metric_name).__name__}"
            )
        self._kwargs = dict(mlflow_kwargs or {})
        known = {"experiment_id", "run_name", "tags", "description", "nested"}
        if unknown := sorted(set(self._kwargs) - known):
            raise BadInputError(
                f"mlflow_kwargs: {unknown[0]!r} is not known; accepted are "
                f"{', '.join(sorted(known))}"
            )
        self._metric_name = metric_name
        self._tag_study = tag_study_user_attrs
        self._tag_trial = tag_trial_user_attrs
        self._lock = threading.RLock()
        self._parents: dict[str, str] = {}
        self._experiments: dict[str, str] = {}
        self._client: MlflowClient
        self._client, self._uri = open_place(tracking_uri or "")
        self._finder = ParentFinder(self._client, self._kwargs, create_experiment)
        self._failures = TrialFailures()
        self._studies: dict[str, optuna.Study] = {}
        atexit.register(self.close)

    def __call__(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        """Records a trial that has ended."""
        parent = self._parent(study, trial.number)
        self._log(study, trial, parent, self._failures.take(trial.number))
        with self._lock:  # else a slower thread could write an older best after a newer one
            self._update_parent(study, parent)

    def track_in_mlflow(self) -> Callable[[Objective], Objective]:
        """Returns a decorator whose objective runs inside the trial's run.

        What the objective logs by ``mlflow.log_metric`` and the like then belongs to the trial.
        """

        def decorate(objective: Objective) -> Objective:
            @functools.wraps(objective)
            def run(trial: optuna.Trial) -> Any:
                import mlflow

                study = trial.study
                run_id = self._open(
                    study, trial.number, trial.datetime_start, self._parent(study, trial.number)
                )
                trial.storage.set_trial_system_attr(trial._trial_id, RUN_ATTRIBUTE, run_id)
                mlflow.set_tracking_uri(self._uri)
                with mlflow.start_run(run_id=run_id, nested=True):
                    return objective(trial)

            return run

        return decorate

    def close(self) -> None:
        """Records the failed trials for which Optuna calls no callback, and ends the parent runs.

        It is called when the process ends.
        """
        with self._lock:
            parents, self._parents = self._parents, {}
        for name, parent in parents.items():
            study = self._studies[name]
            for number, text in self._failures.take_all().items():
                trial = next((t for t in study.trials if t.number == number), None)
                if trial is not None and trial.state.is_finished():
                    self._log(study, trial, parent, text)
            self._update_parent(study, parent)
            self._client.set_terminated(parent, "FINISHED")

    def __enter__(self) -> "MlflowCallback":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # The parent run

    def _parent(self, study: optuna.Study, current: int) -> str:
        with self._lock:
            name = study.study_name
            if name not in self._parents:
                self._studies[name] = study
                parent = self._finder.find(study)
                self._experiments[parent] = self._client.get_run(parent).info.experiment_id
                self._parents[name] = parent
                self._client.update_run(parent, status="RUNNING")
                self._log_lost(study, parent, current)
            return self._parents[name]

    def _update_parent(self, study: optuna.Study, parent: str) -> None:
        for key, value in study.user_attrs.items():
            if key != PARENT_ATTRIBUTE:
                self._client.set_tag(parent, key, _text(value))
        if len(study.directions) > 1:
            return
        try:
            best = study.best_trial
        except ValueError:  # no trial is completed
            return
        name = self._metric_names(1)[0]
        self._client.log_metric(parent, f"best_{name}", float(best.value or 0.0), step=best.number)
        self._client.set_tag(parent, "best_trial", str(best.number))
        self._client.set_tag(parent, "best_params", _text(best.params))

    # The runs of the trials

    def _log_lost(self, study: optuna.Study, parent: str, current: int) -> None:
        """Records the trials of an earlier process that was killed before it recorded them."""
        now = datetime.now()
        old = [
            trial
            for trial in study.get_trials(deepcopy=False)
            if trial.state.is_finished()
            and trial.number != current
            and trial.datetime_complete is not None
            and (now - trial.datetime_complete).total_seconds() > LOST_SECONDS
        ]
        if not old:
            return
        recorded = self._recorded_trials(parent)
        for trial in old:
            if trial.number not in recorded:
                self._log(study, trial, parent, "")

    def _recorded_trials(self, parent: str) -> set[int]:
        experiments, query = [self._experiments[parent]], f"tags.`{PARENT}` = '{parent}'"
        runs = all_pages(
            lambda token: self._client.search_runs(experiments, query, page_token=token)
        )
        return {
            int(run.data.tags[NUMBER_TAG])
            for run in runs
            if NUMBER_TAG in run.data.tags and run.info.status != "RUNNING"
        }

    def _open(
        self, study: optuna.Study, number: int, started: datetime | None, parent: str
    ) -> str:
        run = self._client.create_run(
            self._experiments[parent],
            start_time=_milliseconds(started),
            run_name=str(number),
            tags={PARENT: parent, STUDY_TAG: study.study_name, NUMBER_TAG: str(number)},
        )
        return str(run.info.run_id)

    def _log(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, parent: str, failure: str
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        run_id, known = trial.system_attrs.get(RUN_ATTRIBUTE), {}
        if run_id:
            # The objective may have logged some itself, inside the run.
            known = self._client.get_run(run_id).data.params
        else:
            run_id = self._open(study, trial.number, trial.datetime_start, parent)
        ended = _milliseconds(trial.datetime_complete)
        params = [
            Param(name, str(value)[:6_000])
            for name, value in trial.params.items()
            if name not in known
        ]
        for start in range(0, len(params), _MAX_PARAMS):
            self._client.log_batch(run_id, params=params[start : start + _MAX_PARAMS])
        names = self._metric_names(len(study.directions))
        # A curve of the objective: its value after the last step is the final one.
        metrics = [
            Metric(f"intermediate_{names[0]}", float(value), ended, step)
            for step, value in sorted(trial.intermediate_values.items())
            if _is_number(value)
        ]
        if trial.state.name == "COMPLETE":
            pairs = zip(names, trial.values or [], strict=False)
            metrics += [Metric(name, float(value), ended, 0) for name, value in pairs]
        for start in range(0, len(metrics), 1_000):
            self._client.log_batch(run_id, metrics=metrics[start : start + 1_000])
        tags = {key: text[:_MAX_TAG] for key, text in self._trial_tags(study, trial).items()}
        if failure:
            tags["failure"] = failure.strip().splitlines()[-1][:_MAX_TAG]
            self._client.log_text(run_id, failure, "failure.txt")
        self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        self._client.set_terminated(run_id, _STATUS[trial.state.name], end_time=ended)

    def _trial_tags(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> dict[str, str]:
        tags = {
            NUMBER_TAG: str(trial.number),
            "state": trial.state.name,
            "direction": ", ".join(direction.name for direction in study.directions),
            "datetime_start": str(trial.datetime_start),
            "datetime_complete": str(trial.datetime_complete),
            **{f"{name}_distribution": str(each) for name, each in trial.distributions.items()},
            **run_tags(self._kwargs),
        }
        attributes: dict[str, Any] = dict(study.user_attrs) if self._tag_study else {}
        attributes.pop(PARENT_ATTRIBUTE, None)
        if self._tag_trial:
            attributes |= trial.user_attrs
        return {**{key: _text(value) for key, value in attributes.items()}, **tags}

    def _metric_names(self, count: int) -> list[str]:
        given = self._metric_name
        if isinstance(given, str):
            names = [given] if count == 1 else [f"{given}_{index}" for index in range(count)]
        else:
            names = list(given)
        if len(names) != count:
            raise BadInputError(
                f"metric_name: the study has {count} objectives; got {len(names)} names"
            )
        return [storable_metric(name) for name in names]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and value == value


def _milliseconds(at: datetime | None) -> int:
    return int((at or datetime.now(UTC)).timestamp() * 1000)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except TypeError:
        return str(value)
