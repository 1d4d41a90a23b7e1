"""``tuning.tune``: a whole study by one call."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuning.api.any_framework import plan_train
from tuning.api.function_task import FUNCTION_TASK, accepted_by, takes_params, trains_itself
from tuning.api.given_data import CalledData, Split, is_called_by_workers, is_loader, read_data
from tuning.api.places import mlflow_uri
from tuning.api.recorded_space import RecordedSpace, record_space
from tuning.api.result import StudyResult, run
from tuning.api.settings import as_list, complete_study, default_name, metric_of, settings_of
from tuning.api.travel import pack
from tuning.core.errors import BadInputError
from tuning.core.steps import say_step
from tuning.data.parts import Part, classes_of, read_part
from tuning.data.stored import store_parts
from tuning.search.plugins import own_names
from tuning.study.file import Study
from tuning.workflow.plan import Options, Plan, make_plan
from tuning.workflow.progress.printers import Output

_SEARCHERS = ("optuna", "keras_tuner")
# Rows on which a hypermodel's own ``fit`` is tried, to learn which hyperparameters it asks for.
TRIED_ROWS = 32


def tune(
    build: Any = None,
    *,
    data: Any = None,
    metric: "str | Callable[..., Any] | None" = None,
    train: Callable[..., Any] | None = None,
    space: Mapping[str, Any] | None = None,
    baseline: Mapping[str, Any] | None = None,
    study: Study | None = None,
    fit: Callable[..., Any] | None = None,
    callbacks: Any = None,
    validation_size: float = 0.2,
    test_size: float = 0.2,
    split_seed: int = 0,
    groups: Any = None,
    times: Any = None,
    workers: int = 0,
    gpus: str = "auto",
    executor: str = "local",
    ray_address: str = "",
    backend: str = "auto",
    promote: str = "gate",
    cache_dir: str | Path = ".cache/tuning",
    tracking_uri: str = "",
    resume: str | None = None,
    allow_change: bool = False,
    output: Output = "auto",
    **fields: Any,
) -> StudyResult:
    """Searches the hyperparameters of a Keras model and tells whether the best is really better.

    The baseline, the best candidates and the references are trained again with fresh seeds. The
    test rows are predicted once, at the end. Everything is recorded in MLflow.

    Example::

        result = tuning.tune(build, data=(x, y), metric="rmse", trials=20, epochs=30)
        result.verdict, result.gain, result.best_params

    Args:
        build: Function of ``hp``, in KerasTuner's way, or a ``keras_tuner.HyperModel``; with
            ``space``, a function of a mapping of hyperparameters. It returns a compiled
            ``keras.Model``. Functions, lambdas and closures of scripts and notebooks are accepted.
        data: ``(x, y)`` or ``(x, y, weights)``, which is split; ``(train, test)`` or
            ``(train, validation, test)``; a mapping with these names; or a function that returns
            one of them, or a function ``load(split)`` as in ``tuning.Task``. Inputs and labels
            are arrays, data frames, or mappings and lists of arrays; a part may also be a
            ``keras.utils.PyDataset``, or a ``tf.data.Dataset`` that a function returns.
        metric: Metric of the verdict, on the test rows, such as ``accuracy`` or ``rmse``; or a
            function of truth and prediction, with ``direction`` too.
        train: Instead of ``build`` and ``data``, a function ``train(params, seed, report)`` of any
            framework. It returns ``{"validation": (truth, predictions), "test": (truth,
            predictions)}``; or, for the metrics ``mean_score`` and ``mean_cost``, numbers per
            example instead of the pairs. ``report(value)`` after a step lets a pruner end it.
        space: Search space, for example ``{"units": tuning.Int(16, 128, default=32)}``. Without
            it, ``build`` is called to learn what it asks for.
        baseline: Configuration to beat. Hyperparameters that it does not name have their defaults.
        study: Study with further fields; keywords have precedence.
        fit: Function ``fit(model, params, data, callbacks)`` that trains a model, see
            ``tuning.core.task.Fits``; None for ``model.fit``.
        callbacks: List of Keras callbacks, which is copied for every trial; or a function of the
            hyperparameters that returns one.
        validation_size: Share of validation among all examples, if ``data`` is split.
        test_size: Share of test among all examples, if ``data`` is split.
        split_seed: Seed of the split.
        groups: Group of each example of ``(x, y)``; examples of a group stay in one part. Of parts
            that are given, a mapping of the part's name to its groups; of a function ``load``, a
            function ``groups(part)``; with ``train``, those of the test rows. The interval of the
            gain then draws whole groups.
        times: Time of each example, in the same forms; the test rows are the latest ones. The
            first and the last time of what is forecast if that is more than one, of shape
            (examples, 2). The interval then draws blocks of times.
        workers: Number of trials that are trained at the same time; 0 for one per core or GPU.
        gpus: ``auto``, ``none``, or ids separated by commas.
        executor: ``local`` or ``ray``.
        ray_address: Address of a running Ray cluster; empty to start Ray on this machine.
        backend: Keras backend; ``auto`` for the one that was imported.
        promote: ``gate`` to promote the best model if the gate allows it, or ``never``.
        cache_dir: Folder of data, compiled programs and the files of running trials.
        tracking_uri: Address of MLflow's store; empty for the one that is set in MLflow or in
            MLFLOW_TRACKING_URI, and otherwise ``mlflow.db`` in the current folder.
        resume: Run id of a study to go on with, or ``last``.
        allow_change: Whether a resumed study may have another budget, or changed code.
        output: ``auto``, ``quiet`` or ``json``.
        **fields: Fields of a study (``name``, ``references``, ``searchers``, ``confirm``, …), and
            short names for fields of sections: ``trials``, ``epochs``, ``seeds``, ``timeout``,
            ``batch_size``, ``patience``, …

    Returns:
        The result, which a notebook shows as a page.

    Raises:
        BadInputError: Something is wrong; the message names it and the cure. Nothing was trained,
            unless a later model cannot be judged.
        InterruptedStudyError: The study was stopped, by Ctrl-C; ``resume="last"`` goes on.
        StudyFailedError: No trial can succeed.
    """
    options = Options(
        study=Study(),
        workers=workers,
        gpus=gpus,
        executor=executor,
        ray_address=ray_address,
        backend=backend,
        promote=promote,
        cache_dir=Path(cache_dir),
        command=f"tuning.tune({_name(build or train)}, …)",
        resume=resume,
        allow_change=allow_change,
        output=output,
        tracking_uri=tracking_uri or mlflow_uri(),
        resume_with='tuning.tune(…, resume="{run_id}"), with the same arguments',
    )
    fields["baseline"] = baseline
    if (build is None) == (train is None):
        raise BadInputError("tune: pass build and data, or train and space")
    if train is not None:
        if data is not None or fit is not None or callbacks is not None:
            raise BadInputError("train: it loads its data and trains itself; pass only space")
        plan = plan_train(
            train,
            metric=metric,
            space=space,
            study=study,
            fields=fields,
            options=options,
            times=times,
            groups=groups,
        )
        return run(plan)
    plan = plan_study(
        build,
        data,
        metric=metric,
        space=space,
        study=study,
        fit=fit,
        callbacks=callbacks,
        split=Split(
            validation=validation_size, test=test_size, seed=split_seed, groups=groups, times=times
        ),
        fields=fields,
        options=options,
    )
    return run(plan)


def plan_study(
    build: Any,
    data: Any,
    *,
    metric: "str | Callable[..., Any] | None",
    space: Mapping[str, Any] | None,
    study: Study | None,
    fit: Callable[..., Any] | None,
    callbacks: Any,
    split: Split,
    fields: Mapping[str, Any],
    options: Options,
    fit_options: Mapping[str, Any] | None = None,
    with_test: bool = True,
) -> Plan:
    """Checks the arguments of ``tune`` and makes the plan of the study.

    Args:
        build: As in ``tune``.
        data: As in ``tune``.
        metric: As in ``tune``.
        space: As in ``tune``.
        study: As in ``tune``.
        fit: As in ``tune``.
        callbacks: As in ``tune``.
        split: How to split data that are not split.
        fields: Further fields of the study, by the keywords of ``tune``.
        options: Options of the run; its study and its files are set here.
        fit_options: Options of ``HyperModelFit``; None to train by it only if ``build`` is a
            hypermodel that trains itself.
        with_test: Whether there must be a part test.

    Raises:
        BadInputError: An argument is wrong; the message names it.
    """
    own_metric = metric if callable(metric) else None
    settings = settings_of(study, {**fields, "metric": None if own_metric else metric})
    settings.setdefault("name", default_name(build))
    metric_of(settings, own_metric)  # before the data are read
    names, own = own_names(as_list(settings.get("searchers", list(_SEARCHERS))))
    settings["searchers"] = names
    cache = options.cache_dir
    say_step(options.output, "Reading the data")
    load, files, parts, how = _read(data, split, cache, with_test)
    if parts is None and trains_itself(build) and not takes_params(data):
        parts = {name: read_part(name, each) for name, each in data("search").items()}
    if space is None:
        say_step(options.output, "Importing Keras, and finding the search space by calls of build")
    found = _space(build, space, parts, fit_options or {})
    whole = complete_study(
        settings,
        task=FUNCTION_TASK,
        space=found.space,
        baseline=found.baseline,
        fixed=found.fixed,
        metric=own_metric,
        task_options={"name": settings["name"], "split": how},
    )
    functions = {
        "build": build,
        "takes": "hp" if space is None else "params",
        "fit": fit,
        "fit_options": fit_options,
        "objective": whole.objective.metric,
        "callbacks": callbacks,
        "metric": own_metric,
        **({"load": load} if load is not None else {}),
        **_dependence(split, parts if load is not None else None),
    }
    files["functions"] = pack(functions, cache / "functions").absolute()
    plan = make_plan(replace(options, study=whole, task_files=files, own_searchers=own))
    if options.output == "auto":
        print(_introduction(plan.study, how, found.is_cut))
    return plan


def _read(
    data: Any, split: Split, cache: Path, with_test: bool
) -> tuple[Callable[..., Any] | None, dict[str, Path], dict[str, Part] | None, str]:
    """Reads the data, and stores for the workers what they do not load themselves.

    Returns:
        The function by which the workers load the data, or their files; the parts, if they were
        read; and how they were split.
    """
    for name, given in (("groups", split.groups), ("times", split.times)):
        if given is not None and callable(given) != is_loader(data):
            form = f"a function {name}(part)" if is_loader(data) else "arrays"
            raise BadInputError(f"{name}: with such data, pass {form}")
    if is_loader(data):
        return data, {}, None, "as loaded"
    parts, how = read_data(data, split, with_test=with_test)
    if is_called_by_workers(data, parts):
        return CalledData(data, split), {}, parts, "as loaded"
    return None, {"data": store_parts(parts, cache / "data").absolute()}, parts, how


def _dependence(split: Split, parts: Mapping[str, Part] | None) -> dict[str, Any]:
    """Returns the groups and times that do not stand in the stored data: functions, or by part."""
    found = {}
    for name in ("groups", "times"):
        given = getattr(split, name)
        if callable(given):
            found[name] = given
        elif given is not None and parts is not None:
            found[name] = {part: getattr(each, name) for part, each in parts.items()}
    return found


def _space(
    build: Any, space: Mapping[str, Any] | None, parts: Any, fit_options: Mapping[str, Any]
) -> RecordedSpace:
    if space is not None:
        return RecordedSpace(dict(space), {}, {})
    if not callable(getattr(build, "build", build)):
        raise BadInputError(
            f"build: pass a function or a keras_tuner.HyperModel; got a {type(build).__name__}"
        )
    function = getattr(build, "build", build)

    def call(hp: Any) -> None:
        model = function(hp)
        if parts is not None and trains_itself(build):
            _try_fit(build, hp, model, parts, fit_options.get("options", {}))

    return record_space(call)


def _try_fit(hypermodel: Any, hp: Any, model: Any, parts: Any, options: Mapping[str, Any]) -> None:
    """Trains a few rows, because a hypermodel's ``fit`` may ask for hyperparameters too."""
    classes = classes_of(parts["train"])
    parts = {name: parts[name].encoded(classes) for name in ("train", "validation")}
    x, y, weights = parts["train"].head(TRIED_ROWS)
    given = {"x": x, "y": y} | ({} if weights is None else {"sample_weight": weights})
    given |= {
        "validation_data": tuple(parts["validation"].head(TRIED_ROWS)[:2]),
        "epochs": 1,
        "callbacks": [],
        "verbose": 0,
        **options,
    }
    hypermodel.fit(hp, model, **accepted_by(hypermodel.fit, given))


def _introduction(study: Study, how: str, is_cut: bool) -> str:
    values = ", ".join(f"{name} {value}" for name, value in study.baseline.items())
    note = (
        "\nnote: build was not called with all values, because there are too many; a "
        "hyperparameter that exists only with some of them needs hp.conditional_scope"
    )
    return f"baseline: {values}\ndata: {how}{note if is_cut else ''}"


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
