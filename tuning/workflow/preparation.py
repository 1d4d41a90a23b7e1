"""Prepares a study: its data, the record of an earlier run, and the lock on the run."""

import hashlib
import json
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.core.errors import BadInputError
from tuning.core.steps import say_step
from tuning.core.task import DataInfo, HasCode, Prepares, Task, Trains
from tuning.data.description import describe_data, digest_of_test
from tuning.data.leakage import check_apart
from tuning.data.loading import Loader
from tuning.data.parts import Part
from tuning.study.file import Study
from tuning.study.record import StudyRecord
from tuning.tracking import keys
from tuning.tracking.heartbeat import check_abandoned
from tuning.tracking.reader import read_code, read_record
from tuning.tracking.retry import retrying
from tuning.tracking.store import open_store
from tuning.training.workspace import machine_id, new_token, open_workspace
from tuning.workflow.check import load_parts
from tuning.workflow.code import code_digests
from tuning.workflow.plan import Plan, check_backend, continue_plan, make_task, use_backend
from tuning.workflow.resume import check_same, check_same_code, check_same_data, find_run, merge

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class EarlierRun:
    """The earlier run of a study that is resumed.

    Attributes:
        client: Client of the MLflow store.
        record: Record of the study, as the store has it.
        last_heartbeat: Last heartbeat of the earlier driver; empty if it released the study.
        code: Digests of the files of the code with which the study began, by name.
    """

    client: "MlflowClient"
    record: StudyRecord
    last_heartbeat: str
    code: dict[str, str]


@dataclass(frozen=True)
class PreparedStudy:
    """A study whose data are prepared.

    Attributes:
        kind: Kind of the parent run: ``tune`` or ``baseline``.
        plan: Plan of the study. For a resumed study it has the recorded data set and backend.
        study: Study as it is run, with all settings.
        written: Study file with the profile of the data, without the settings.
        task: Task of the study.
        data: Description of the data.
        loader: Loader of the task's data.
        parts: The parts of the data by name.
        workspace: Folder of the trials' files.
        code: Digests of the files of the user's code, by name.
        changed_code: Names of the files that differ from those of the earlier run.
        has_times: Whether the rows have an order in time.
        earlier: Earlier run of a resumed study; None for a new study.
    """

    kind: str
    plan: Plan
    study: Study
    written: Study
    task: Task
    data: DataInfo
    loader: Loader
    parts: dict[str, Part]
    workspace: Path
    code: dict[str, str]
    changed_code: list[str]
    has_times: bool
    earlier: EarlierRun | None = None

    @property
    def record(self) -> StudyRecord | None:
        """Record of the earlier run; None for a new study."""
        return self.earlier.record if self.earlier else None

    @property
    def content(self) -> str:
        """Hash of the data and of the code and the hyperparameters that load them."""
        params = self.study.hyperparameters(self.study.baseline)
        known = [self.data.digest, self.study.task, repr(self.study.task_options), repr(params)]
        text = json.dumps([*known, sorted(self.code.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def release_data(self) -> None:
        """Frees the memory of the data, which the driver needs again only for the test split."""
        self.parts.clear()
        self.loader.forget()


def prepare_study(plan: Plan, kind: str, stack: ExitStack) -> PreparedStudy:
    """Prepares the data and, for a resumed study, finds and locks the earlier run.

    Args:
        plan: Plan of the command.
        kind: Kind of the parent run: ``tune`` or ``baseline``.
        stack: Exit stack that holds the lock on the earlier run until the study ends.

    Raises:
        BadInputError: The data cannot be used or judged, or the run cannot be resumed.
    """
    if plan.options.resume:
        say_step(plan.options.output, "Reading the study's record from MLflow")
    earlier = _find_earlier_run(plan, kind, stack) if plan.options.resume else None
    if earlier is not None:
        plan = _as_begun(plan, earlier.record)
    use_backend(plan)
    check_backend(plan)
    say_step(plan.options.output, "Preparing the data")
    task = make_task(plan)
    info = task.prepare() if isinstance(task, Prepares) else None
    # It shares nothing with an earlier run, whose data may be others.
    loader = Loader(task, info.classes if info else ())
    written = plan.file.for_dataset(info.label if info else "data")
    study = written.change(plan.options.settings) if earlier is None else plan.study
    trains = isinstance(task, Trains)
    parts = {} if trains else load_parts(loader, study, with_test=kind == keys.TUNE)
    params = study.hyperparameters(study.baseline)
    has_times = not trains and loader.dependence(params, "train", "validation").times is not None
    name = getattr(task, "name", type(task).__name__)
    data = info or (_unknown_data(name) if trains else describe_data(name, parts))
    data = replace(data, classes=loader.classes)
    if "test" in parts and not data.test_digest:
        data = replace(data, test_digest=digest_of_test(parts["test"]))
    check_apart({part: loader.dependence(params, part) for part in parts})
    metrics = [study.compare.metric, *study.compare.additional_metrics]
    code, changed_code = code_digests(study.task, metrics), []
    if isinstance(task, HasCode):
        code |= task.code_digests()
    if earlier is not None:
        check_same_data(earlier.record, data)
        run_id, allow_change = earlier.record.run_id, plan.options.allow_change
        changed_code = check_same_code(run_id, earlier.code, code, allow_change)
    token = earlier.record.tags.get(keys.WORKSPACE) if earlier else None
    workspace = open_workspace(plan.options.cache_dir, token or new_token())
    return PreparedStudy(
        kind,
        plan,
        study,
        written,
        task,
        data,
        loader,
        parts,
        workspace,
        code,
        changed_code,
        has_times,
        earlier,
    )


def _unknown_data(name: str) -> DataInfo:
    """Describes the data of a task that trains models itself, and loads its data itself."""
    return DataInfo(
        label="data",
        name=name,
        source=f"train of {name}",
        digest=hashlib.sha256(name.encode()).hexdigest(),
        sizes={},
        cannot_serve="a study that trains by a function of its own has no Keras model",
    )


def _find_earlier_run(plan: Plan, kind: str, stack: ExitStack) -> EarlierRun:
    assert plan.options.resume is not None
    client = open_store(plan.tracking_uri)
    retrying_client = retrying(client)
    run_id = find_run(retrying_client, plan.options.resume, plan.study.name, kind)
    stack.enter_context(run_lock(plan, run_id))
    last_heartbeat = check_abandoned(retrying_client, run_id, machine_id(plan.options.cache_dir))
    # The record is read only now: until the earlier driver has ended, it may still write.
    record, code = read_record(retrying_client, run_id), read_code(retrying_client, run_id)
    return EarlierRun(client, record, last_heartbeat, code)


def _as_begun(plan: Plan, record: StudyRecord) -> Plan:
    file = plan.file.for_dataset(record.data.label)
    settings = plan.options.settings
    study = merge(record, file).change(settings)
    check_same(record, file, file.change(settings), study, plan.options.allow_change)
    backend = record.tags.get(keys.BACKEND, plan.backend)
    if plan.options.backend not in ("auto", backend):
        raise BadInputError(
            f"backend: run {record.run_id} began with {backend}; got {plan.options.backend!r}; "
            "leave the option out"
        )
    dataset = record.tags.get(keys.DATASET_OPTION, plan.options.dataset)
    return continue_plan(plan, study, dataset, backend)


def run_lock(plan: Plan, run_id: str) -> AbstractContextManager[object]:
    """Takes the lock on a run on this machine, because two drivers would train the same trials.

    Returns:
        Context that releases the lock at its end.

    Raises:
        BadInputError: Another process holds the lock.
    """
    from filelock import FileLock, Timeout

    plan.options.cache_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(plan.options.cache_dir.absolute() / f"run-{run_id}.lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        raise BadInputError(
            f"resume: another process still runs the study of run {run_id}; wait until it ends"
        ) from None
