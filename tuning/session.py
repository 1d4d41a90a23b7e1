"""A study while it runs: store, parent run, workers, tracker and driver, opened and closed."""

import os
import platform
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import tuning
from tuning.devices import gpu_share_environment
from tuning.driver import Driver
from tuning.errors import BadInputError, InterruptedStudyError
from tuning.executors.local import LocalExecutor
from tuning.failures import FailurePolicy
from tuning.plan import (
    Plan,
    apply_options,
    compile_cache,
    make_task,
    process_environment,
    resumed,
    use_backend,
)
from tuning.progress import Progress, make_progress
from tuning.protocols import DataInfo, Delivering, Executor, Task
from tuning.signals import StopSignal, listening
from tuning.study import Study
from tuning.tracking import names
from tuning.tracking.inputs import dataset_inputs
from tuning.tracking.lease import Lease, check_abandoned
from tuning.tracking.mlflow_tracker import MlflowTracker
from tuning.tracking.patience import Patience, patient, without_mlflow_retries
from tuning.tracking.record import Curves, StudyRecord, read_record, write_head
from tuning.tracking.resume import check_same, check_same_data, find_run, merge, reopen
from tuning.tracking.store import (
    Parent,
    is_remote,
    is_server,
    open_parent,
    open_store,
    take_launcher,
)
from tuning.tracking.writers import writers_of
from tuning.trial import Phase, TrialRecord, TrialState
from tuning.worker import WorkerSpec
from tuning.workspace import clear, new_token, open_workspace, place_of

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass
class Session:
    """What the phases share; its client waits out an outage of the store."""

    plan: Plan
    study: Study
    task: Task
    data: DataInfo
    client: "MlflowClient"
    parent: Parent
    tracker: MlflowTracker
    executor: Executor
    driver: Driver
    progress: Progress
    stop: StopSignal
    record: StudyRecord | None = None
    curves: Curves = field(default_factory=dict)

    @property
    def workers(self) -> int:
        """How many trials can be trained at once."""
        return self.executor.slots

    def read(self) -> StudyRecord:
        """Reads the record as it is now."""
        return read_record(self.client, self.parent.run_id, self.curves)

    def earlier(self, *phases: Phase, searcher: str | None = None) -> list[TrialRecord]:
        """The trials of an earlier run of this study; none if it is new."""
        found = self.record.in_phase(*phases) if self.record else []
        return [r for r in found if searcher is None or r.trial.searcher == searcher]

    def trained(self, *phases: Phase) -> list[TrialRecord]:
        """The trials that have ended, in this run of the study or an earlier one."""
        latest = {r.trial.name: r for r in self.earlier(*phases)}
        latest |= {r.trial.name: r for r in self.driver.records if r.trial.phase in phases}
        return [r for r in latest.values() if r.result.state is not TrialState.INTERRUPTED]


@contextmanager
def open_session(plan: Plan, kind: str = names.TUNE) -> Iterator[Session]:
    """Opens everything that a study needs; closes it and ends the parent run, whatever happens.

    Args:
        plan: What to do.
        kind: ``tune`` or ``baseline``.

    Yields:
        The open session.

    Raises:
        BadInputError: The data or the store cannot be had.
    """
    stop = StopSignal()
    launcher = take_launcher()
    with ExitStack() as stack:
        stack.enter_context(listening(stop))
        stack.enter_context(without_mlflow_retries())
        ready = _make_ready(plan, stack)
        study, record = ready.study, ready.record
        progress = make_progress(plan.options.output, study.objective)
        stack.callback(progress.close)
        if ready.data.warning:
            progress.say(f"\n*** {ready.data.warning} ***\n")
        # Workers import Keras while this process opens the store.
        executor = _start_workers(ready, stack)
        client = ready.client or open_store(plan.tracking_uri)
        patiently = patient(client)
        resume = record.run_id if record else ""
        parent = Patience()(
            lambda: open_parent(client, study.name, ready.workspace.name, launcher, resume)
        )
        if record is None:
            stack.enter_context(_alone(plan, parent.run_id))
        tracker = MlflowTracker(
            client,
            parent.experiment_id,
            parent.run_id,
            study,
            ready.data,
            ready.workspace,
            # What is trained after that would be lost.
            on_failure=lambda: setattr(stop, "level", 2),
            writers=writers_of(client.tracking_uri),
        )

        def lose() -> None:
            tracker.give_up(f"another driver goes on with run {parent.run_id}")
            stop.level = 2

        if isinstance(executor, Delivering) and is_server(client.tracking_uri):
            experiment = patiently.get_experiment(parent.experiment_id)
            if is_remote(experiment.artifact_location):
                executor.deliver_to(tracker.destination)
        lease = Lease(client, parent.run_id, place_of(plan.options.cache_dir), ready.seen)
        # The lease outlives the tracker, whose last writes are this driver's too.
        with (
            lease.held(lose),
            _ends(client, parent, ready, kind, lease, progress),
            closing(tracker),
        ):
            _begin(patiently, parent, ready, kind)
            if record is not None:
                reopen(patiently, record)
                tracker.restore(record.trials)
            driver = Driver(
                executor,
                [tracker, progress],
                study_seed=study.seed,
                fixed=study.fixed,
                policy=FailurePolicy(study.limits, study.on_error),
                stop=stop,
            )
            if record is not None:
                driver.restore(record.trials)
            try:
                yield Session(
                    plan=ready.plan,
                    study=study,
                    task=ready.task,
                    data=ready.data,
                    client=patiently,
                    parent=parent,
                    tracker=tracker,
                    executor=executor,
                    driver=driver,
                    progress=progress,
                    stop=stop,
                    record=record,
                )
            except InterruptedStudyError:
                # It may be the tracker that gave up, and not the user.
                tracker.raise_error()
                raise
            tracker.flush()


@dataclass(frozen=True)
class _Ready:
    """A study whose data are prepared.

    ``written`` is the study file with the profile of the data, without what the command line says.
    Of a study that goes on there are ``client``, ``record``, and ``seen``, the last sign of life
    of the driver before.
    """

    plan: Plan
    study: Study
    written: Study
    task: Task
    data: DataInfo
    client: "MlflowClient | None"
    record: StudyRecord | None
    seen: str
    workspace: Path


def _make_ready(plan: Plan, stack: ExitStack) -> _Ready:
    client: MlflowClient | None = None
    record: StudyRecord | None = None
    seen = ""
    if plan.options.resume:
        client = open_store(plan.tracking_uri)
        patiently = patient(client)
        run_id = find_run(patiently, plan.options.resume, plan.study.name)
        stack.enter_context(_alone(plan, run_id))
        seen = check_abandoned(patiently, run_id, place_of(plan.options.cache_dir))
        # Not before its driver is gone: until then it is being written.
        record = read_record(patiently, run_id)
        plan = _as_begun(plan, record)
    use_backend(plan)
    task = make_task(plan)
    data = task.prepare()
    if record is not None:
        check_same_data(record, data)
    written = plan.file.for_dataset(data.label)
    study = plan.study if record is not None else apply_options(written, plan.options)
    token = (record.tags.get(names.WORKSPACE) if record else None) or new_token()
    workspace = open_workspace(plan.options.cache_dir, token)
    return _Ready(plan, study, written, task, data, client, record, seen, workspace)


def _start_workers(ready: _Ready, stack: ExitStack) -> Executor:
    spec = WorkerSpec(
        task=ready.study.task,
        task_options={**ready.study.task_options, **ready.task.worker_options()},
        objective=ready.study.objective,
        backend=ready.plan.backend,
        folder=str(ready.workspace),
        cache_dir=str(compile_cache(ready.plan)),
        path=(os.getcwd(),),
    )
    plan, options = ready.plan, ready.plan.options
    executor: Executor
    if options.executor == "ray":
        from tuning.executors.ray_cluster import RayExecutor

        executor = RayExecutor(
            replace(spec, environment=gpu_share_environment(options.trial_gpus)),
            options.workers,
            address=options.ray_address,
            trial_cpus=options.trial_cpus,
            trial_gpus=options.trial_gpus,
            trial_memory_mb=ready.study.limits.memory_mb,
        )
    else:
        executor = LocalExecutor(
            spec,
            options.workers,
            # One a GPU before a second on any.
            devices=[process_environment(plan, [gpu]) for gpu in plan.gpus]
            * options.workers_per_gpu,
            trial_memory_mb=ready.study.limits.memory_mb,
        )
    stack.callback(executor.close)
    return executor


@contextmanager
def _ends(
    client: "MlflowClient",
    parent: Parent,
    ready: _Ready,
    kind: str,
    lease: Lease,
    progress: Progress,
) -> Iterator[None]:
    """Gives the parent run its end, and tells how to go on where it is not the end."""
    try:
        yield
    except BaseException as error:
        if lease.lost:
            raise
        interrupted = isinstance(error, InterruptedStudyError | KeyboardInterrupt)
        with suppress(Exception):
            client.set_terminated(parent.run_id, "KILLED" if interrupted else "FAILED")
        if kind == names.TUNE:
            study_file = shlex.quote(str(ready.plan.options.study))
            progress.close()
            progress.conclude(
                "\nGo on with: mlflow run . -e tune "
                f"-P study={study_file} -P resume={parent.run_id}"
            )
        else:
            clear(ready.workspace)
        raise
    clear(ready.workspace)
    patient(client).set_terminated(parent.run_id, "FINISHED")


@contextmanager
def _alone(plan: Plan, run_id: str) -> Iterator[None]:
    """Holds the study's lock on this machine: two drivers would train the same trials."""
    from filelock import FileLock, Timeout

    plan.options.cache_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(plan.options.cache_dir.absolute() / f"run-{run_id}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BadInputError(f"resume: the study of run {run_id} is still running") from None
    try:
        yield
    finally:
        lock.release()


def _as_begun(plan: Plan, record: StudyRecord) -> Plan:
    file = plan.file.for_dataset(record.data.label)
    study = apply_options(merge(record, file), plan.options)
    check_same(record, file, study, plan.options.allow_change)
    backend = record.tags.get(names.BACKEND, plan.backend)
    if plan.options.backend not in ("auto", backend):
        raise BadInputError(
            f"backend: run {record.run_id} began with {backend}; got {plan.options.backend!r}"
        )
    dataset = record.tags.get(names.DATASET_OPTION, plan.options.dataset)
    return resumed(plan, study, dataset, backend)


def _begin(client: "MlflowClient", parent: Parent, ready: _Ready, kind: str) -> None:
    study, data, options = ready.study, ready.data, ready.plan.options
    client.update_run(parent.run_id, name=f"{study.name} on {data.label}")
    tags = {
        names.STUDY: study.name,
        names.KIND: kind,
        names.DATASET: data.label,
        names.DATASET_DIGEST: data.digest,
        names.BACKEND: ready.plan.backend,
        names.SEED: str(study.seed),
        names.VERSION: tuning.__version__,
        names.WORKSPACE: ready.workspace.name,
    }
    if ready.record is None:
        tags |= {names.COMMAND: options.command, names.DATASET_OPTION: options.dataset}
    for key, value in tags.items():
        client.set_tag(parent.run_id, key, value)
    write_head(client, parent.run_id, study, ready.written, data)
    client.log_text(parent.run_id, _environment(), names.ENVIRONMENT_FILE)
    client.log_inputs(parent.run_id, datasets=dataset_inputs(data, "training"))


def _environment() -> str:
    packages = sorted(
        {f"{dist.metadata['Name']}=={dist.version}" for dist in metadata.distributions()},
        key=str.lower,
    )
    head = f"# Python {platform.python_version()} on {platform.platform()}"
    return "\n".join([head, *packages, ""])
