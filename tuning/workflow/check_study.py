"""The command ``check``, and the check at the start of a study."""

from contextlib import ExitStack

from tuning.core.errors import BadInputError
from tuning.core.steps import say_step
from tuning.core.task import Trains
from tuning.metrics.outputs import OutputForm
from tuning.tracking import keys, store
from tuning.training.workspace import clear
from tuning.workflow.check import check_models
from tuning.workflow.cuts import check_cuts
from tuning.workflow.leakage import count_shared_rows
from tuning.workflow.passed_checks import check_token, has_passed, remember
from tuning.workflow.plan import Plan
from tuning.workflow.preparation import PreparedStudy, prepare_study


def check_once(prepared: PreparedStudy) -> None:
    """Checks the models of a study, unless the same study has passed the check before.

    Raises:
        BadInputError: Something of the study cannot work.
    """
    # Only the function of such a task knows its models; a mere search judges none.
    if isinstance(prepared.task, Trains) or prepared.kind == keys.SEARCH:
        return
    folder = prepared.plan.options.cache_dir
    token = check_token(prepared.study, prepared.data.digest, prepared.plan.backend, prepared.code)
    if not has_passed(folder, token):
        _check_models(prepared)
        remember(folder, token)


def _check_models(prepared: PreparedStudy) -> OutputForm:
    text = "Checking the baseline's model: one batch, metric, saving, loading"
    say_step(prepared.plan.options.output, text)
    # Data that no model may be registered of need no model of raw input.
    serves = not prepared.data.cannot_serve
    return check_models(prepared.task, prepared.study, prepared.parts, serves=serves)


def check_study(plan: Plan) -> list[str]:
    """Checks a study without starting it. Nothing is left in MLflow.

    Returns:
        Lines that say what was checked.

    Raises:
        BadInputError: Something of the study cannot work.
    """
    with ExitStack() as stack:
        prepared = prepare_study(plan, keys.TUNE, stack)
        stack.callback(clear, prepared.workspace)
        check_cuts(prepared)
        place = _check_store(plan)
        if isinstance(prepared.task, Trains):
            return [
                f"function  {prepared.data.name} takes params, seed and report",
                f"store     {place}",
            ]
        form = _check_models(prepared)
        shared_rows = count_shared_rows(prepared)
    rule, sizes = prepared.study.compare, prepared.data.sizes
    rows = ", ".join(f"{part} {count:,}" for part, count in sizes.items())
    return [
        f"data      {prepared.data.name}: {rows}",
        f"model     {form.kind}, the output {form.name!r} gives {form.meaning}",
        f"objective {prepared.study.objective.metric}, to {prepared.study.objective.direction}",
        f"metric    {', '.join(each.name for each in (rule.deciding, *rule.additional))}",
        f"rows      {shared_rows or 'none stands in two parts'}",
        "training  one batch, and the metrics of Keras",
        "saving    saved, loaded again, same predictions",
        f"store     {place}",
    ]


def _check_store(plan: Plan) -> str:
    """Checks that the store can be used, without creating anything in it."""
    uri = plan.tracking_uri
    file = store.sqlite_file(uri)
    if file is not None and not file.exists():
        if not file.parent.exists():
            raise BadInputError(f"MLflow's store {uri} cannot be made: there is no {file.parent}")
        return f"{uri}, which the study will make"
    client = store.open_store(uri)
    experiment = client.get_experiment_by_name(plan.study.name)
    if experiment is None:
        return f"{uri} answers"
    store.check_artifacts(experiment.artifact_location)
    return f"{uri} answers, and keeps artifacts"
