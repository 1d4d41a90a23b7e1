"""From options to a plan: everything is checked here, before any work starts."""

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tuning.core.errors import BadInputError
from tuning.core.task import Task, import_task
from tuning.search.factory import check_installed, check_options
from tuning.search.names import SearcherSpec, parse_searchers
from tuning.study.file import Study, load_study
from tuning.tracking.store import resolve_uri
from tuning.training.devices import can_use_gpus, choose_gpus, gpu_environment, visible_gpus
from tuning.training.environment import backend_environment
from tuning.workflow.progress.printers import Output

BACKENDS = ("jax", "tensorflow", "torch")
EXECUTORS = ("local", "ray")
MAX_WORKERS = 1024


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a study is run, and what of its file is changed for this run.

    Attributes:
        study: The study file.
        settings: Fields of the study to set, each ``field=value``.
        dataset: A name or path that is passed to the task.
        workers: Trials at once; 0 means one per core, ``resources.workers_per_gpu`` per GPU, or as
            many as a Ray cluster has room for.
        gpus: ``auto``, ``none``, or ids separated by commas.
        executor: ``local``, or ``ray``.
        ray_address: Address of a running Ray cluster; empty to start Ray on this machine.
        backend: Keras backend, or ``auto``.
        promote: ``gate`` or ``never``.
        cache_dir: Folder of prepared data and compiled programs.
        command: The command as it was typed, for the record.
        resume: The parent run to go on with, or ``last``; None begins a new study.
        allow_change: Whether a resumed study's budget and confirmation may differ.
        output: How progress is shown: ``auto``, ``quiet`` or ``json``.
    """

    study: Path
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


@dataclass(frozen=True)
class Plan:
    """Options that were checked.

    Attributes:
        options: The options.
        file: The study file.
        study: The study with the settings applied.
        searchers: The searchers of the study.
        backend: The Keras backend.
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
    """Checks the options; imports neither Keras nor MLflow.

    Raises:
        BadInputError: Naming the option or field, the value and what would be accepted.
    """
    if not 0 <= options.workers <= MAX_WORKERS:
        raise BadInputError(f"workers: from 0 to {MAX_WORKERS}; got {options.workers}")
    _check_executor(options)
    if options.promote not in ("gate", "never"):
        raise BadInputError(f"promote: gate or never; got {options.promote!r}")
    file = load_study(options.study)
    study = file.change(options.settings)
    searchers = parse_searchers(study.searchers)
    check_installed(searchers)
    check_options(searchers, study)
    backend = choose_backend(options.backend, options.gpus)
    gpus = choose_gpus(options.gpus, backend, env)
    plan = Plan(options, file, study, searchers, backend, gpus, resolve_uri(env))
    _make_importable(os.getcwd())
    make_task(plan)
    return plan


def _check_executor(options: Options) -> None:
    if options.executor not in EXECUTORS:
        raise BadInputError(f"executor: {' or '.join(EXECUTORS)}; got {options.executor!r}")
    if options.executor == "local" and options.ray_address:
        raise BadInputError(f"ray_address: {options.ray_address!r} needs executor=ray")
    if options.executor == "ray" and importlib.util.find_spec("ray") is None:
        raise BadInputError("executor: ray is not installed; pip install ray")


def _make_importable(folder: str) -> None:
    """A study's task lies beside where the command is run, as with ``python -m``."""
    if folder not in sys.path:
        sys.path.insert(0, folder)


def continue_plan(plan: Plan, study: Study, dataset: str, backend: str) -> Plan:
    """The plan of a study that goes on, as it was begun.

    Args:
        plan: The present plan.
        study: The recorded study, with what file and command line change of it now.
        dataset: The recorded name or path, which holds unless another is given.
        backend: The recorded Keras backend.

    Raises:
        BadInputError: The backend is not installed, or cannot use the GPUs that were asked for.
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
    """Chooses the Keras backend: the named one, or the fastest that is installed.

    Args:
        name: The backend, or ``auto``.
        gpus: ``none``; otherwise a backend that can use the GPUs goes before those that cannot.

    Raises:
        BadInputError: The backend is unknown or not installed.
    """
    if name == "auto":
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
    """Constructs the study's task.

    Raises:
        BadInputError: The task cannot be imported, or refuses its options.
    """
    try:
        task: Task = import_task(plan.study.task)(
            dataset=plan.options.dataset,
            cache_dir=str(plan.options.cache_dir.absolute()),
            **plan.study.task_options,
        )
    except TypeError as error:
        raise BadInputError(f"task_options: {plan.study.task} refuses them: {error}") from error
    return task


def use_backend(plan: Plan) -> None:
    """Sets the environment of this process, before Keras is imported."""
    os.environ.update(backend_environment(plan.backend, str(compile_cache(plan))))
    # What predicts here follows the training and needs one of its GPUs.
    os.environ.update(process_environment(plan, plan.gpus[:1]))


def process_environment(plan: Plan, gpus: Sequence[str]) -> dict[str, str]:
    """Environment variables that tell a process of this plan which GPUs it may use."""
    if not gpus and plan.options.gpus == "auto" and not visible_gpus():
        return {}  # another kind of accelerator is left to the framework
    return gpu_environment(gpus, plan.study.resources.workers_per_gpu)


def compile_cache(plan: Plan) -> Path:
    """The folder of programs that JAX compiled."""
    return plan.options.cache_dir.absolute() / "compiled"
