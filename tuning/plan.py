"""From options to a plan: everything is checked here, before any work starts."""

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tuning.devices import can_use_gpus, choose_gpus, gpu_environment, visible_gpus
from tuning.errors import BadInputError
from tuning.progress import Output
from tuning.protocols import Task
from tuning.search.factory import check_installed, check_options
from tuning.search.spec import SearcherSpec, parse_searchers
from tuning.study import Study, load_study
from tuning.tracking.store import resolve_uri
from tuning.worker import backend_environment, import_task

BACKENDS = ("jax", "tensorflow", "torch")
EXECUTORS = ("local", "ray")
MAX_WORKERS = 1024


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says; None leaves the study's value.

    Attributes:
        study: The study file.
        dataset: Passed to the task.
        searchers: Comma-separated names.
        trials: A searcher.
        epochs: Most, a trial.
        seeds: Fresh ones, for baseline and confirmation.
        top_k: Candidates confirmed.
        long_run: Epochs of the further training of baseline and references.
        ablation: Whether the winner's hyperparameters are set back one by one.
        workers: Trials at once; 0 means one a core, ``workers_per_gpu`` for each GPU, or as many
            as a Ray cluster has room for.
        gpus: ``auto``, ``none``, or ids separated by commas.
        workers_per_gpu: Trials that share a GPU.
        executor: ``local``, or ``ray``.
        ray_address: Of a running Ray cluster; empty to start Ray on this machine.
        trial_cpus: Of Ray's CPUs, a trial.
        trial_gpus: Of Ray's GPUs, a trial.
        backend: Keras backend, or ``auto``.
        timeout: Seconds for the training of every phase.
        seed: Of the study.
        promote: ``gate`` or ``never``.
        cache_dir: Where prepared data and compiled programs are kept.
        command: What was typed, for the record.
        resume: The parent run to go on with, or ``last``; None begins a new study.
        allow_change: Whether a resumed study's budget and confirmation may differ.
        output: How progress is shown: ``auto``, ``quiet`` or ``json``.
    """

    study: Path
    dataset: str = "auto"
    searchers: str | None = None
    trials: int | None = None
    epochs: int | None = None
    seeds: int | None = None
    top_k: int | None = None
    long_run: int | None = None
    ablation: bool | None = None
    workers: int = 0
    gpus: str = "auto"
    workers_per_gpu: int = 1
    executor: str = "local"
    ray_address: str = ""
    trial_cpus: float = 1.0
    trial_gpus: float = 0.0
    backend: str = "auto"
    timeout: float | None = None
    seed: int | None = None
    promote: str = "gate"
    cache_dir: Path = Path(".cache/tuning")
    command: str = ""
    resume: str | None = None
    allow_change: bool = False
    output: Output = "auto"


@dataclass(frozen=True)
class Plan:
    """Options that were found good.

    Attributes:
        options: As given.
        file: The study file.
        study: With the options applied.
        searchers: Parsed.
        backend: The Keras backend.
        gpus: Ids of the GPUs to train on; empty for the CPU.
        tracking_uri: Absolute.
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
    if not 1 <= options.workers_per_gpu <= MAX_WORKERS:
        raise BadInputError(
            f"workers_per_gpu: from 1 to {MAX_WORKERS}; got {options.workers_per_gpu}"
        )
    _check_executor(options)
    if options.promote not in ("gate", "never"):
        raise BadInputError(f"promote: gate or never; got {options.promote!r}")
    file = load_study(options.study)
    study = apply_options(file, options)
    searchers = parse_searchers(study.searchers)
    check_installed(searchers)
    check_options(searchers, study)
    backend = choose_backend(options.backend, options.gpus)
    gpus = choose_gpus(options.gpus, backend, env)
    plan = Plan(options, file, study, searchers, backend, gpus, resolve_uri(env))
    make_task(plan)
    return plan


def _check_executor(options: Options) -> None:
    if options.executor not in EXECUTORS:
        raise BadInputError(f"executor: {' or '.join(EXECUTORS)}; got {options.executor!r}")
    if options.executor == "local":
        if options.ray_address:
            raise BadInputError(f"ray_address: {options.ray_address!r} needs executor=ray")
        return
    if importlib.util.find_spec("ray") is None:
        raise BadInputError("executor: ray is not installed; pip install ray")
    if not 0 < options.trial_cpus <= MAX_WORKERS:
        raise BadInputError(f"trial_cpus: above 0; got {options.trial_cpus:g}")
    if not 0 <= options.trial_gpus <= MAX_WORKERS:
        raise BadInputError(f"trial_gpus: 0 or more; got {options.trial_gpus:g}")


def apply_options(study: Study, options: Options) -> Study:
    """Applies what the command line says about the study."""
    return study.override(
        trials=options.trials,
        epochs=options.epochs,
        timeout=options.timeout,
        seeds=options.seeds,
        top_k=options.top_k,
        long_run=options.long_run,
        ablation=options.ablation,
        searchers=options.searchers,
        seed=options.seed,
    )


def resumed(plan: Plan, study: Study, dataset: str, backend: str) -> Plan:
    """The plan of a study that goes on, as it was begun.

    Args:
        plan: The present one.
        study: The recorded study, with what the command line says now.
        dataset: The recorded name or path, which holds unless another is given.
        backend: The recorded Keras backend.

    Raises:
        BadInputError: It is not installed, or cannot use the GPUs that were asked for.
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
        name: Of the backend, or ``auto``.
        gpus: ``none``, or else one that can use the GPUs goes before those that cannot.

    Raises:
        BadInputError: It is unknown or not installed.
    """
    if name == "auto":
        installed = [backend for backend in BACKENDS if importlib.util.find_spec(backend)]
        if not installed:
            raise BadInputError(f"backend: none of {', '.join(BACKENDS)} is installed")
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
        BadInputError: It cannot be imported, or refuses its options.
    """
    if os.getcwd() not in sys.path:
        # A study's task lies beside where the command is run, as with python -m.
        sys.path.insert(0, os.getcwd())
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
    """What a process of this plan is told of the GPUs that it may use."""
    if not gpus and plan.options.gpus == "auto" and not visible_gpus():
        return {}  # another kind of accelerator stays the framework's own affair
    return gpu_environment(gpus, plan.options.workers_per_gpu)


def compile_cache(plan: Plan) -> Path:
    """Where programs compiled by JAX are kept."""
    return plan.options.cache_dir.absolute() / "compiled"
