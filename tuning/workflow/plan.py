"""Makes a plan from the options of a command and checks everything before any work starts."""

import importlib.util
import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from tuning.core.errors import BadInputError
from tuning.core.task import Task, Trains
from tuning.core.task_class import import_task, task_arguments
from tuning.core.trial import Params
from tuning.search.factory import check_installed, check_options
from tuning.search.names import SearcherSpec, parse_searchers
from tuning.study.file import Study, load_study
from tuning.tracking.store import resolve_uri
from tuning.training.devices import can_use_gpus, choose_gpus, gpu_environment, visible_gpus
from tuning.training.environment import NO_BACKEND, backend_environment
from tuning.workflow.progress.printers import Output
from tuning.workflow.warm_start import check_warm_start

BACKENDS = ("jax", "tensorflow", "torch")
EXECUTORS = ("local", "ray")
MAX_WORKERS = 1024


class _Method(NamedTuple):
    """A method of a task: the arguments that it always gets, and those that it may ask for."""

    name: str
    positional: tuple[str, ...]
    on_request: tuple[str, ...] = ()
    required: bool = False


METHODS = (
    _Method("load", ("split",), ("params", "cut"), required=True),
    _Method("build", ("params",), required=True),
    _Method("fit", ("model", "params", "data", "callbacks"), ("epochs", "initial_epoch")),
    _Method("callbacks", ("params",)),
)
TRAIN = _Method("train", ("params", "seed", "report"), required=True)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a command that runs a study.

    Attributes:
        study: Path of the study file, or the study itself.
        settings: Fields of the study to set for this run, each as ``field=value``.
        dataset: Name or path of the data set, which is passed to the task.
        workers: Number of trials that are trained at the same time. 0 means one per core,
            ``resources.workers_per_gpu`` per GPU, or as many as a Ray cluster has resources for.
        gpus: GPUs to train on: ``auto``, ``none``, or ids separated by commas.
        executor: Name of the executor: ``local`` or ``ray``.
        ray_address: Address of a running Ray cluster; empty to start Ray on this machine.
        backend: Keras backend, or ``auto``.
        promote: Rule of the promotion: ``gate`` or ``never``.
        cache_dir: Folder of prepared data, compiled programs and the files of running trials.
        command: Command line as the user typed it, for the record.
        resume: Id of the parent run to resume, or ``last``; None starts a new study.
        allow_change: Whether a resumed study may change the fields in
            ``workflow.resume.CHANGEABLE_FIELDS``, such as its budget.
        output: Form of the progress output: ``auto``, ``quiet`` or ``json``.
        task_files: Files that the task needs on this machine, by the names of the constructor's
            arguments. They are no part of the record.
        own_searchers: Searchers that are objects, by name.
        candidates: Configurations that are confirmed instead of a search, by label.
        tracking_uri: Address of MLflow's store; empty for that of the environment.
        resume_with: How to resume the study, with ``{run_id}`` for its run id.
    """

    study: Path | Study
    settings: tuple[str, ...] = ()
    dataset: str = "auto"
    workers: int = 0
    gpus: str = "auto"
    executor: str = "local"
    ray_address: str = ""
    backend: str = "auto"
    promote: str = "gate"
    cache_dir: Path = Path(".cache/tuning")
    command: str = ""
    resume: str | None = None
    allow_change: bool = False
    output: Output = "auto"
    task_files: Mapping[str, Path] = field(default_factory=dict)
    own_searchers: Mapping[str, Any] = field(default_factory=dict)
    candidates: Mapping[str, Params] = field(default_factory=dict)
    tracking_uri: str = ""
    resume_with: str = ""


@dataclass(frozen=True)
class Plan:
    """The checked options of a study.

    Attributes:
        options: Options of the command.
        file: Study as the study file defines it.
        study: Study with the settings applied.
        searchers: Searchers of the study.
        backend: Keras backend.
        gpus: Ids of the GPUs to train on; empty for the CPU.
        tracking_uri: Absolute address of MLflow's store.
    """

    options: Options
    file: Study
    study: Study
    searchers: list[SearcherSpec]
    backend: str
    gpus: tuple[str, ...]
    tracking_uri: str


def make_plan(options: Options, env: Mapping[str, str] = os.environ) -> Plan:
    """Checks the options and returns the plan. Imports neither Keras nor MLflow.

    Raises:
        BadInputError: An option or a field is wrong. The message names it, its value and the
            accepted values.
    """
    if not 0 <= options.workers <= MAX_WORKERS:
        raise BadInputError(f"workers: from 0 to {MAX_WORKERS}; got {options.workers}")
    _check_executor(options)
    if options.promote not in ("gate", "never"):
        raise BadInputError(f"promote: gate or never; got {options.promote!r}")
    file = load_study(options.study) if isinstance(options.study, Path) else options.study
    study = file.change(options.settings)
    searchers = parse_searchers(study.searchers)
    check_installed(searchers)
    check_options(searchers, study, options.own_searchers)
    check_warm_start(study, searchers)
    backend = choose_backend(options.backend, options.gpus)
    gpus = choose_gpus(options.gpus, backend, env)
    uri = resolve_uri(env, options.tracking_uri)
    plan = Plan(options, file, study, searchers, backend, gpus, uri)
    # Before the task is imported, because its module may import Keras.
    if backend != NO_BACKEND:
        os.environ["KERAS_BACKEND"] = backend
    make_task(plan)
    check_backend(plan)
    return plan


def _check_executor(options: Options) -> None:
    if options.executor not in EXECUTORS:
        raise BadInputError(f"executor: {' or '.join(EXECUTORS)}; got {options.executor!r}")
    if options.executor == "local" and options.ray_address:
        raise BadInputError(f"ray_address: {options.ray_address!r} needs executor=ray")
    if options.executor == "ray" and importlib.util.find_spec("ray") is None:
        raise BadInputError("executor: ray is not installed; pip install ray")


def continue_plan(plan: Plan, study: Study, dataset: str, backend: str) -> Plan:
    """Returns the plan of a resumed study, with the recorded data set and backend.

    Args:
        plan: Plan of the present command.
        study: Recorded study with the present changes of the study file and the command line.
        dataset: Recorded name or path of the data set. It is used unless the options name another.
        backend: Recorded Keras backend.

    Raises:
        BadInputError: The backend is not installed, or it cannot use the requested GPUs.
    """
    options = plan.options
    if options.dataset == "auto":
        options = replace(options, dataset=dataset)
    return replace(
        plan,
        options=options,
        study=study,
        searchers=parse_searchers(study.searchers),
        backend=choose_backend(backend),
        gpus=choose_gpus(options.gpus, backend),
    )


def choose_backend(name: str, gpus: str = "none") -> str:
    """Chooses the Keras backend: the named one, or the first of ``BACKENDS`` that is installed.

    If this process has imported Keras, its backend is chosen instead of the first.

    Args:
        name: Name of the backend, or ``auto``.
        gpus: GPUs to train on, or ``none``. If this machine has GPUs and they are to be used, an
            installed backend that can use them is preferred.

    Raises:
        BadInputError: The backend is unknown or not installed.
    """
    if name == NO_BACKEND:
        return name
    if name == "auto":
        imported = _imported_backend()
        if imported in BACKENDS:
            return imported
        installed = [backend for backend in BACKENDS if importlib.util.find_spec(backend)]
        if not installed:
            raise BadInputError(
                f"backend: none of {', '.join(BACKENDS)} is installed; pip install jax"
            )
        if gpus != "none" and visible_gpus():
            installed.sort(key=can_use_gpus, reverse=True)
        return installed[0]
    if name not in BACKENDS:
        raise BadInputError(f"backend: auto, {', '.join(BACKENDS)}; got {name!r}")
    if importlib.util.find_spec(name) is None:
        raise BadInputError(f"backend: {name} is not installed; pip install {name}")
    return name


def make_task(plan: Plan) -> Task:
    """Constructs the task of the study.

    Raises:
        BadInputError: The task cannot be imported, or its constructor does not accept the options.
    """
    task_class = import_task(plan.study.task)
    try:
        task: Task = task_class(**constructor_arguments(plan))
    except TypeError as error:
        raise BadInputError(
            f"task_options: {plan.study.task} does not accept them: {error}; correct them in the "
            "study file"
        ) from error
    for method in (TRAIN,) if isinstance(task, Trains) else METHODS:
        _check_method(plan.study.task, task, method)
    return task


def _check_method(path: str, task: Task, method: _Method) -> None:
    function = getattr(task, method.name, None)
    if function is None:
        if method.required:
            raise BadInputError(f"task: {path} has no method {method.name}; add it")
        return
    signature = inspect.signature(function)
    asked = [name for name in method.on_request if name in signature.parameters]
    try:
        signature.bind(*method.positional, **dict.fromkeys(asked))
    except TypeError as error:
        raise BadInputError(
            f"task: {path} has {method.name}{signature}, which does not take what it is given "
            f"({error}); write def {method.name}(self, {', '.join(method.positional)})"
        ) from None


def constructor_arguments(plan: Plan) -> dict[str, object]:
    """Returns the arguments of the task's constructor, in this process and in the workers.

    Raises:
        BadInputError: The task cannot be imported, or it has no use for the named data set.
    """
    options = plan.options
    arguments = task_arguments(
        import_task(plan.study.task),
        plan.study.task_options,
        options.dataset,
        str(options.cache_dir.absolute()),
    )
    return {**arguments, **options.task_files}


def use_backend(plan: Plan) -> None:
    """Sets the environment variables of this process; call it before Keras is imported."""
    if plan.backend != NO_BACKEND:
        os.environ.update(backend_environment(plan.backend, str(compile_cache(plan))))
    # This process predicts the test split after the training; one GPU is enough for that.
    os.environ.update(process_environment(plan, plan.gpus[:1]))


def check_backend(plan: Plan) -> None:
    """Checks that Keras, if the task's module has imported it, uses the backend of the study.

    Raises:
        BadInputError: It uses another one. The models would be judged by another backend than the
            one that trained them.
    """
    imported = _imported_backend()
    if plan.backend == NO_BACKEND:
        return
    # A backend that cannot train, such as NumPy's, fails in the check of the models.
    if imported not in {*BACKENDS} - {plan.backend}:
        return
    raise BadInputError(
        f"backend: the study uses {plan.backend}, but Keras was imported with {imported}; choose "
        f"the backend {imported}, or set KERAS_BACKEND={plan.backend} before anything imports "
        "Keras"
    )


def _imported_backend() -> str:
    """Returns the backend of Keras in this process; empty if nothing has imported Keras."""
    backend = getattr(sys.modules.get("keras"), "backend", None)
    return "" if backend is None else str(backend.backend())


def process_environment(plan: Plan, gpus: Sequence[str]) -> dict[str, str]:
    """Returns the environment variables that tell a process which GPUs it may use."""
    if not gpus and plan.options.gpus == "auto" and not visible_gpus():
        return {}  # the framework may find another kind of accelerator
    return gpu_environment(gpus, plan.study.resources.workers_per_gpu)


def compile_cache(plan: Plan) -> Path:
    """Returns the folder of the programs that JAX has compiled."""
    return plan.options.cache_dir.absolute() / "compiled"
