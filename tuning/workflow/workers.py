"""Starts the workers of a study: on this machine, or on a Ray cluster."""

import os
import sys
from dataclasses import replace
from pathlib import Path

from tuning.core.interfaces import Executor
from tuning.core.task import HasWorkerOptions, Trains
from tuning.executors.local import LocalExecutor
from tuning.tracking import keys
from tuning.training.devices import gpu_share_environment
from tuning.training.messages import WorkerSpec
from tuning.workflow.plan import compile_cache, constructor_arguments, process_environment
from tuning.workflow.preparation import PreparedStudy


def _own_folders() -> tuple[str, ...]:
    """Returns the folders from which the user's modules are imported."""
    folders = [entry for entry in sys.path if entry and Path(entry).is_dir()]
    own = [folder for folder in folders if not Path(folder).is_relative_to(sys.prefix)]
    own = [folder for folder in own if not Path(folder).is_relative_to(sys.base_prefix)]
    return tuple(dict.fromkeys([os.getcwd(), *own]))


def start_workers(prepared: PreparedStudy) -> Executor:
    """Starts the workers; each of them imports Keras and loads the data itself."""
    plan, study, task = prepared.plan, prepared.study, prepared.task
    own_options = task.worker_options() if isinstance(task, HasWorkerOptions) else {}
    spec = WorkerSpec(
        task=study.task,
        task_options={**constructor_arguments(plan), **own_options},
        classes=prepared.loader.classes,
        rule=None if prepared.kind == keys.SEARCH else study.compare,
        objective=study.objective,
        training=study.training,
        backend=plan.backend,
        folder=str(prepared.workspace),
        prepared=f".prepared-{prepared.content}",
        cache_dir=str(compile_cache(plan)),
        path=_own_folders(),
        with_keras=not isinstance(task, Trains),
    )
    if plan.options.executor == "local":
        # Every GPU gets its first worker before any GPU gets a second one.
        devices = [process_environment(plan, [gpu]) for gpu in plan.gpus]
        return LocalExecutor(
            spec,
            plan.options.workers,
            devices=devices * study.resources.workers_per_gpu,
            trial_memory_mb=study.limits.memory_mb,
        )
    from tuning.executors.ray.executor import RayExecutor

    resources = study.resources
    return RayExecutor(
        replace(spec, environment=gpu_share_environment(resources.trial_gpus)),
        plan.options.workers,
        address=plan.options.ray_address,
        trial_cpus=resources.trial_cpus,
        trial_gpus=resources.trial_gpus,
        trial_memory_mb=study.limits.memory_mb,
    )
