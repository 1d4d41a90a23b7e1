"""Before a study runs: its data, the record that it continues, and the lock on its run."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.core.errors import BadInputError
from tuning.core.task import DataInfo, Task
from tuning.study.file import Study
from tuning.study.record import StudyRecord
from tuning.tracking import keys
from tuning.tracking.heartbeat import check_abandoned
from tuning.tracking.reader import read_record
from tuning.tracking.retry import retrying
from tuning.tracking.store import open_store
from tuning.training.workspace import machine_id, new_token, open_workspace
from tuning.workflow.check import check_labels
from tuning.workflow.plan import Plan, continue_plan, make_task, use_backend
from tuning.workflow.resume import check_same, check_same_data, find_run, merge

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class EarlierRun:
    """The run of a study that goes on.

    Attributes:
        client: A client of the store.
        record: The study as the store remembers it.
        last_heartbeat: The last heartbeat of the driver before this one.
    """

    client: "MlflowClient"
    record: StudyRecord
    last_heartbeat: str


@dataclass(frozen=True)
class PreparedStudy:
    """A study whose data are prepared.

    Attributes:
        plan: The plan; of a study that goes on, as it was begun.
        study: The study as it is run.
        written: The study file with the profile of the data, without the settings.
        task: The task.
        data: What the study is trained on.
        workspace: The folder of the trials' files.
        earlier: The earlier run of a study that goes on.
    """

    plan: Plan
    study: Study
    written: Study
    task: Task
    data: DataInfo
    workspace: Path
    earlier: EarlierRun | None = None

    @property
    def record(self) -> StudyRecord | None:
        """The record of the earlier run; None of a new study."""
        return self.earlier.record if self.earlier else None


def prepare_study(plan: Plan, kind: str, stack: ExitStack) -> PreparedStudy:
    """Prepares the data, and finds the run that is to go on.

    Args:
        plan: The plan.
        kind: ``tune`` or ``baseline``.
        stack: Holds the lock on the run until the study is over.

    Raises:
        BadInputError: The data cannot be had or judged, or the run cannot go on.
    """
    earlier = _find_earlier_run(plan, stack) if plan.options.resume else None
    if earlier is not None:
        plan = _as_begun(plan, earlier.record)
    use_backend(plan)
    task = make_task(plan)
    data = task.prepare()
    if earlier is not None:
        check_same_data(earlier.record, data)
    check_labels(task, with_test=kind == keys.TUNE)
    written = plan.file.for_dataset(data.label)
    study = written.change(plan.options.settings) if earlier is None else plan.study
    token = earlier.record.tags.get(keys.WORKSPACE) if earlier else None
    workspace = open_workspace(plan.options.cache_dir, token or new_token())
    return PreparedStudy(plan, study, written, task, data, workspace, earlier)


def _find_earlier_run(plan: Plan, stack: ExitStack) -> EarlierRun:
    assert plan.options.resume is not None
    client = open_store(plan.tracking_uri)
    retrying_client = retrying(client)
    run_id = find_run(retrying_client, plan.options.resume, plan.study.name)
    stack.enter_context(run_lock(plan, run_id))
    last = check_abandoned(retrying_client, run_id, machine_id(plan.options.cache_dir))
    # Not before its driver is gone: until then it is being written.
    return EarlierRun(client, read_record(retrying_client, run_id), last)


def _as_begun(plan: Plan, record: StudyRecord) -> Plan:
    file = plan.file.for_dataset(record.data.label)
    settings = plan.options.settings
    study = merge(record, file).change(settings)
    check_same(record, file, file.change(settings), study, plan.options.allow_change)
    backend = record.tags.get(keys.BACKEND, plan.backend)
    if plan.options.backend not in ("auto", backend):
        raise BadInputError(
            f"backend: run {record.run_id} began with {backend}; got {plan.options.backend!r}"
        )
    dataset = record.tags.get(keys.DATASET_OPTION, plan.options.dataset)
    return continue_plan(plan, study, dataset, backend)


@contextmanager
def run_lock(plan: Plan, run_id: str) -> Iterator[None]:
    """Holds the study's lock on this machine: two drivers would train the same trials.

    Raises:
        BadInputError: Another process holds it.
    """
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
