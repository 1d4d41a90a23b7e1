"""A study while it runs: opens and closes its store, run, workers, tracker and driver."""

import json
import platform
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING

from tuning.core.errors import BadInputError, InterruptedStudyError, redact
from tuning.core.interfaces import Executor, UploadsModels
from tuning.core.trial import Phase, TrialRecord
from tuning.core.version import VERSION
from tuning.driver.driver import Driver
from tuning.driver.failures import FailurePolicy
from tuning.driver.interrupts import StopSignal, listening
from tuning.search.names import SearcherSpec
from tuning.study.file import Study
from tuning.study.record import StudyRecord
from tuning.tracking import keys, store
from tuning.tracking.heartbeat import Heartbeat
from tuning.tracking.reader import Curves, read_record, write_head
from tuning.tracking.retry import RetryPolicy, retrying, without_mlflow_retries
from tuning.tracking.tracker import MlflowTracker, dataset_inputs
from tuning.tracking.writers import writers_of
from tuning.training.workspace import clear, machine_id
from tuning.workflow.check_study import check_once
from tuning.workflow.cuts import check_cuts
from tuning.workflow.leakage import count_shared_rows
from tuning.workflow.plan import Plan
from tuning.workflow.preparation import PreparedStudy, prepare_study, run_lock
from tuning.workflow.progress import Progress, make_progress
from tuning.workflow.resume import reopen
from tuning.workflow.workers import start_workers

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass
class StudyRun:
    """The objects that all phases share. The client retries during an outage of the store."""

    prepared: PreparedStudy
    client: "MlflowClient"
    parent: store.Parent
    tracker: MlflowTracker
    executor: Executor
    driver: Driver
    progress: Progress
    stop: StopSignal
    curves: Curves = field(default_factory=dict)

    @property
    def study(self) -> Study:
        """Study as it is run, with all settings."""
        return self.prepared.study

    @property
    def searchers(self) -> list[SearcherSpec]:
        """Searchers of the study."""
        return self.prepared.plan.searchers

    @property
    def workers(self) -> int:
        """Number of trials that can be trained at the same time."""
        return self.executor.slots

    def read(self) -> StudyRecord:
        """Reads the present record from the store."""
        return read_record(self.client, self.parent.run_id, self.curves)

    def earlier(self, *phases: Phase, searcher: str | None = None) -> list[TrialRecord]:
        """Returns the trials of earlier runs of this study; empty for a new study."""
        record = self.prepared.record
        records = record.in_phase(*phases) if record else []
        return [r for r in records if searcher is None or r.trial.searcher == searcher]


@contextmanager
def open_study_run(plan: Plan, kind: str = keys.TUNE) -> Iterator[StudyRun]:
    """Opens everything that a study needs; closes it and ends the parent run in every case.

    Args:
        plan: Plan of the command.
        kind: Kind of the parent run: ``tune`` or ``baseline``.

    Yields:
        The open study run.

    Raises:
        BadInputError: The data or the store cannot be used, or the study cannot be judged.
    """
    stop = StopSignal()
    launcher = store.take_launcher()
    with ExitStack() as stack:
        stack.enter_context(listening(stop))
        stack.enter_context(without_mlflow_retries())
        prepared = prepare_study(plan, kind, stack)
        check_cuts(prepared)
        progress = _show_progress(prepared, stack)
        # The workers start first, so that they import Keras while this process checks the models
        # and the rows, and opens the store.
        executor = start_workers(prepared)
        stack.callback(executor.close)
        check_once(prepared)
        shared_rows = count_shared_rows(prepared)
        if shared_rows:
            progress.say(f"note: {shared_rows}")
        prepared.release_data()
        progress.say(f"Opening MLflow at {redact(plan.tracking_uri)} …")
        client, parent = _open_parent(prepared, launcher)
        _check_artifacts(client, parent)
        if prepared.record is None:
            stack.enter_context(run_lock(plan, parent.run_id))
        tracker = _make_tracker(client, parent, prepared, stop)
        _let_nodes_upload(client, parent, tracker, executor)
        machine = machine_id(prepared.plan.options.cache_dir)
        last_heartbeat = prepared.earlier.last_heartbeat if prepared.earlier else ""
        heartbeat = Heartbeat(client, parent.run_id, machine, last_heartbeat)
        # The heartbeat ends after the tracker, because the tracker still writes when it closes.
        with (
            heartbeat.kept(lambda: _lose_run(tracker, parent, stop)),
            _ending(client, parent, prepared, heartbeat, progress),
            closing(tracker),
        ):
            retrying_client = retrying(client)
            _begin(retrying_client, parent, prepared, tracker, shared_rows)
            driver = _make_driver(prepared, executor, [tracker, progress], stop)
            try:
                yield StudyRun(
                    prepared, retrying_client, parent, tracker, executor, driver, progress, stop
                )
            except InterruptedStudyError:
                # The tracker may have stopped the study, and not the user.
                tracker.raise_error()
                raise
            tracker.flush()


def _check_artifacts(client: "MlflowClient", parent: store.Parent) -> None:
    """Checks that artifacts can be stored; if not, the run of a new study is deleted again."""
    try:
        store.check_artifacts(str(retrying(client).get_run(parent.run_id).info.artifact_uri))
    except BadInputError:
        if parent.created:
            client.delete_run(parent.run_id)
        raise


def _show_progress(prepared: PreparedStudy, stack: ExitStack) -> Progress:
    progress = make_progress(prepared.plan.options.output, prepared.study.objective)
    stack.callback(progress.close)
    if prepared.data.warning:
        progress.say(f"\n*** {prepared.data.warning} ***\n")
    return progress


def _open_parent(prepared: PreparedStudy, launcher: str) -> tuple["MlflowClient", store.Parent]:
    earlier = prepared.earlier
    client = earlier.client if earlier else store.open_store(prepared.plan.tracking_uri)
    resume = earlier.record.run_id if earlier else ""
    parent = RetryPolicy()(
        lambda: store.open_parent(
            client, prepared.study.name, prepared.workspace.name, launcher, resume
        )
    )
    return client, parent


def _make_tracker(
    client: "MlflowClient", parent: store.Parent, prepared: PreparedStudy, stop: StopSignal
) -> MlflowTracker:
    return MlflowTracker(
        client,
        parent.experiment_id,
        parent.run_id,
        prepared.study,
        prepared.data,
        prepared.workspace,
        # A trial that is trained after the tracker has failed would be lost.
        on_failure=stop.end_now,
        writers=writers_of(client.tracking_uri),
    )


def _let_nodes_upload(
    client: "MlflowClient", parent: store.Parent, tracker: MlflowTracker, executor: Executor
) -> None:
    """Lets nodes upload their models themselves, if they can write to the store."""
    if not isinstance(executor, UploadsModels) or not store.is_server(client.tracking_uri):
        return
    experiment = retrying(client).get_experiment(parent.experiment_id)
    if store.is_remote(experiment.artifact_location):
        executor.upload_models_to(tracker.upload_target)


def _lose_run(tracker: MlflowTracker, parent: store.Parent, stop: StopSignal) -> None:
    tracker.give_up(f"another driver has taken over run {parent.run_id}")
    stop.end_now()


def _make_driver(
    prepared: PreparedStudy,
    executor: Executor,
    listeners: list[MlflowTracker | Progress],
    stop: StopSignal,
) -> Driver:
    study = prepared.study
    driver = Driver(
        executor,
        listeners,
        study_seed=study.seed,
        fixed=study.fixed,
        policy=FailurePolicy(study.limits, study.on_error),
        stop=stop,
    )
    if prepared.record is not None:
        driver.restore(prepared.record.trials)
    return driver


@contextmanager
def _ending(
    client: "MlflowClient",
    parent: store.Parent,
    prepared: PreparedStudy,
    heartbeat: Heartbeat,
    progress: Progress,
) -> Iterator[None]:
    """Ends the parent run; after an error, says how to resume the study."""
    try:
        yield
    except BaseException as error:
        if heartbeat.lost:
            raise
        interrupted = isinstance(error, InterruptedStudyError | KeyboardInterrupt)
        with suppress(Exception):
            client.set_terminated(parent.run_id, "KILLED" if interrupted else "FAILED")
        if prepared.kind == keys.BASELINE:
            clear(prepared.workspace)
        elif _is_worth_resuming(prepared, error, progress):
            progress.close()
            progress.conclude(f"\nGo on with: {_resume_command(prepared, parent)}")
        raise
    clear(prepared.workspace)
    retrying(client).set_terminated(parent.run_id, "FINISHED")


def _is_worth_resuming(prepared: PreparedStudy, error: BaseException, progress: Progress) -> bool:
    """Whether something was trained, or could be if the study is run again as it is."""
    trained = prepared.record is not None or progress.status.states["completed"] > 0
    return trained or not isinstance(error, BadInputError)


def _resume_command(prepared: PreparedStudy, parent: store.Parent) -> str:
    options = prepared.plan.options
    if options.resume_with:
        return options.resume_with.replace("{run_id}", parent.run_id)
    words = ["python", "-m", "tuning", "tune", "--study", str(options.study)]
    words += ["--resume", parent.run_id]
    for setting in options.settings:
        words += ["--set", setting]
    return shlex.join(words)


def _begin(
    client: "MlflowClient",
    parent: store.Parent,
    prepared: PreparedStudy,
    tracker: MlflowTracker,
    shared_rows: str,
) -> None:
    """Writes the tags, the study, the environment and the data into the parent run."""
    study, data, options = prepared.study, prepared.data, prepared.plan.options
    client.update_run(parent.run_id, name=f"{study.name} on {data.label}")
    tags = {
        keys.DATASET: data.label,
        keys.DATASET_DIGEST: data.digest,
        keys.BACKEND: prepared.plan.backend,
        keys.SEED: str(study.seed),
        keys.VERSION: VERSION,
        keys.WORKSPACE: prepared.workspace.name,
        keys.SHARED_ROWS: shared_rows or "none",
    }
    if prepared.record is None:
        tags |= {keys.COMMAND: redact(options.command), keys.DATASET_OPTION: options.dataset}
    if prepared.record is not None and prepared.changed_code:
        changes = prepared.record.tags.get(keys.CODE_CHANGES)
        now = f"{', '.join(prepared.changed_code)} ({datetime.now(UTC):%Y-%m-%d %H:%M UTC})"
        tags[keys.CODE_CHANGES] = "; ".join(filter(None, [changes, now]))
    for key, value in tags.items():
        client.set_tag(parent.run_id, key, value)
    write_head(client, parent.run_id, study, prepared.written, data)
    client.log_text(parent.run_id, _environment(), keys.ENVIRONMENT_FILE)
    earlier = prepared.earlier.code if prepared.earlier else {}
    # A study of 0.1 that goes on stays without: the file says that the study notes its version.
    if prepared.earlier is None or earlier:
        code = json.dumps({**earlier, **prepared.code}, indent=2)
        client.log_text(parent.run_id, code, keys.CODE_FILE)
    client.log_inputs(parent.run_id, datasets=dataset_inputs(data, "training"))
    # These tags come last: a run that has them counts as a study that can be resumed.
    client.set_tag(parent.run_id, keys.KIND, prepared.kind)
    client.set_tag(parent.run_id, keys.STUDY, study.name)
    if prepared.record is not None:
        reopen(client, prepared.record)
        tracker.restore(prepared.record.trials)


def _environment() -> str:
    """Returns the platform and every installed package with its version, one per line."""
    packages = sorted(
        {f"{dist.metadata['Name']}=={dist.version}" for dist in metadata.distributions()},
        key=str.lower,
    )
    head = f"# Python {platform.python_version()} on {platform.platform()}"
    return "\n".join([head, *packages, ""])
