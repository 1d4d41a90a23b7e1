"""Studies of a function that trains models of any framework."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.api.places import mlflow_uri
from tuning.api.result import StudyResult, run
from tuning.api.settings import (
    as_list,
    complete_study,
    default_name,
    direction_for,
    metric_of,
    settings_of,
)
from tuning.api.train_task import TRAIN_TASK, check_train
from tuning.api.travel import pack
from tuning.core.errors import BadInputError
from tuning.data.dependence import rows_that_depend
from tuning.search.plugins import own_names
from tuning.study.file import Study
from tuning.training.environment import NO_BACKEND
from tuning.workflow.plan import Options, Plan, make_plan
from tuning.workflow.progress.printers import Output

if TYPE_CHECKING:
    import optuna

_SEARCHERS = ("optuna",)
# Value of a hyperparameter in the configurations that do not have it.
ABSENT = "(absent)"


def plan_train(
    train: Callable[..., Any],
    *,
    metric: "str | Callable[..., Any] | None",
    space: Mapping[str, Any] | None,
    study: Study | None,
    fields: Mapping[str, Any],
    options: Options,
    absent: str = "",
    times: Any = None,
    groups: Any = None,
) -> Plan:
    """Makes the plan of a study whose models a function trains.

    Args:
        train: Function of params, seed and, perhaps, report.
        metric: Metric of validation and test predictions.
        space: Search space.
        study: Study with further fields, or None.
        fields: Further fields of the study, by the keywords of ``tune``.
        options: Options of the run; its study and its files are set here.
        absent: Value of the hyperparameters that do not exist for the function; empty for none.
        times: Times of the test rows; None if they have no order.
        groups: Groups of the test rows; None if they are independent.

    Raises:
        BadInputError: An argument is wrong; the message names it.
    """
    check_train(train)
    if not space:
        raise BadInputError(
            "space: is required with train, for example space={'rate': tuning.Float(1e-4, 1e-1, "
            "log=True, default=1e-2)}"
        )
    own_metric = metric if callable(metric) else None
    settings = settings_of(study, {**fields, "metric": None if own_metric else metric})
    settings.setdefault("name", default_name(train))
    names, own = own_names(as_list(settings.get("searchers", list(_SEARCHERS))))
    settings["searchers"] = names
    if "objective" in settings:
        raise BadInputError(
            "objective: with train= the search sees the metric of the validation predictions, and "
            "what report gets must be that too; leave objective out"
        )
    deciding = metric_of(settings, own_metric)
    settings["objective"] = {
        "metric": f"val_{deciding.key}",
        **direction_for(f"val_{deciding.key}", deciding.direction),
    }
    whole = complete_study(
        settings,
        task=TRAIN_TASK,
        space=space,
        baseline={},
        fixed={},
        metric=own_metric,
        task_options={"name": settings["name"]},
    )
    functions: dict[str, Any] = {"train": train, "metric": own_metric, "absent": absent}
    functions |= rows_that_depend(times, groups)
    files = {"functions": pack(functions, options.cache_dir / "functions").absolute()}
    return make_plan(
        replace(options, study=whole, task_files=files, own_searchers=own, backend=NO_BACKEND)
    )


def confirm(
    study: "optuna.Study",
    evaluate: Callable[..., Any],
    *,
    baseline: Mapping[str, Any],
    metric: "str | Callable[..., Any]",
    references: Mapping[str, Mapping[str, Any]] | None = None,
    top_k: int = 2,
    seeds: int = 5,
    name: str = "",
    workers: int = 0,
    executor: str = "local",
    ray_address: str = "",
    cache_dir: str | Path = ".cache/tuning",
    tracking_uri: str = "",
    resume: str | None = None,
    output: Output = "auto",
    times: Any = None,
    groups: Any = None,
    **fields: Any,
) -> StudyResult:
    """Trains the best trials of a study of Optuna again, and tells whether they are really better.

    The baseline and the best trials are trained with the same fresh seeds, in parallel. The
    winner is chosen on validation rows and compared with the baseline on test rows.

    Example::

        tuning.confirm(study, evaluate, baseline={"lr": 0.01}, metric="rmse", top_k=2, seeds=5)

    Args:
        study: Study of Optuna with completed trials and one objective.
        evaluate: Function ``evaluate(params, seed)`` that trains a model and returns
            ``{"validation": (truth, predictions), "test": (truth, predictions)}``; or, for the
            metrics ``mean_score`` and ``mean_cost``, numbers per example instead of the pairs.
        baseline: Hyperparameters to beat.
        metric: Metric of the verdict, such as ``rmse``; or a function, with ``direction`` too.
        references: Further configurations to compare, by name.
        top_k: Number of the best distinct trials that are trained again.
        seeds: Number of fresh seeds per configuration.
        name: Name of the study in MLflow; that of the Optuna study if it is empty.
        workers: Number of models that are trained at the same time; 0 for one per core.
        executor: ``local`` or ``ray``.
        ray_address: Address of a running Ray cluster; empty to start Ray on this machine.
        cache_dir: Folder of the files of running trials.
        tracking_uri: Address of MLflow's store; empty as in ``tune``.
        resume: Run id of a confirmation to go on with, or ``last``.
        output: ``auto``, ``quiet`` or ``json``.
        times: Times of the test rows, if neighbours depend on each other.
        groups: Groups of the test rows, if rows of a group depend on each other.
        **fields: Further fields of a study, as in ``tune``.

    Raises:
        BadInputError: Something is wrong; the message names it and the cure.
    """
    candidates = _best_trials(study, top_k, baseline)
    configs = {"baseline": baseline, **candidates, **(references or {})}
    space = _values_of(configs)
    whole = {
        label: {name: config.get(name, ABSENT) for name in space}
        for label, config in configs.items()
    }
    default = study.study_name if not study.study_name.startswith("no-name") else ""
    plan = plan_train(
        evaluate,
        metric=metric,
        space=space,
        study=None,
        fields={
            "name": name or default or None,
            "baseline": whole["baseline"],
            "references": {label: whole[label] for label in references or {}},
            "seeds": seeds,
            "top_k": max(len(candidates), 1),
            **fields,
        },
        options=Options(
            study=Study(),
            workers=workers,
            executor=executor,
            ray_address=ray_address,
            cache_dir=Path(cache_dir),
            command=f"tuning.confirm({study.study_name}, …)",
            resume=resume,
            output=output,
            tracking_uri=tracking_uri or mlflow_uri(),
            candidates={label: whole[label] for label in candidates},
            resume_with='tuning.confirm(…, resume="{run_id}"), with the same arguments',
        ),
        absent=ABSENT,
        times=times,
        groups=groups,
    )
    return run(plan)


def _best_trials(
    study: "optuna.Study", top_k: int, baseline: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Returns the best distinct configurations by label, without the baseline's."""
    if len(study.directions) != 1:
        raise BadInputError("study: it has several objectives; confirm needs one")
    ended = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    sign = -1 if study.direction.name == "MAXIMIZE" else 1
    best: dict[str, dict[str, Any]] = {}
    for trial in sorted(ended, key=lambda trial: sign * float(trial.value or 0.0)):
        config = dict(trial.params)
        is_new = config not in best.values() and config != dict(baseline)
        if is_new and len(best) < top_k:
            best[f"trial-{trial.number}"] = config
    if not best:
        raise BadInputError(
            "study: it has no completed trial with other hyperparameters than the baseline"
        )
    return best


def _values_of(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns a space of the values that occur, one of which may be that there is none."""
    names = dict.fromkeys(name for config in configs.values() for name in config)
    space: dict[str, Any] = {}
    for name in names:
        values: list[Any] = []
        for config in configs.values():
            value = config.get(name, ABSENT)
            if not any(value == each and type(value) is type(each) for each in values):
                values.append(value)
        space[name] = {"type": "choice", "values": values}
    return space
