"""Checks, before anything is trained, that the models of a study can be trained and judged.

The baseline's model goes the whole way on a few rows: a batch of training, the objective, the
prediction, the test metric, saving and loading. A fault that would otherwise show after hours is
found here.
"""

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tuning.core.errors import BadInputError, InfeasibleError
from tuning.core.record import Predictions
from tuning.core.task import Fits, Serves, Task
from tuning.core.trial import Params
from tuning.data.loading import Loader, asked
from tuning.data.parts import Batch, Part, leaves, take
from tuning.data.weights import weights_by_class
from tuning.metrics.outputs import OutputForm
from tuning.metrics.predictions import check_shapes, probabilities_or_values, truth_of
from tuning.metrics.scoring import scales_of, score
from tuning.study.file import Study
from tuning.tracking.keras_flavour import save_keras_model
from tuning.tracking.store import quieten_mlflow

# Rows that go the whole way; enough that a batch has several classes.
ROWS = 256
# Largest relative difference of the predictions of a model before saving and after loading.
TOLERANCE = 1e-3


def load_parts(loader: Loader, study: Study, *, with_test: bool = True) -> dict[str, Part]:
    """Loads the parts and checks that they have the form of examples with labels.

    Args:
        loader: Loader of the task's data.
        study: Study with the baseline, whose hyperparameters the data may depend on.
        with_test: Whether to load the test split too. Only its labels are looked at.

    Returns:
        The parts by name.

    Raises:
        BadInputError: A part is missing or has another form. The message names the part and the
            problem.
    """
    params = study.hyperparameters(study.baseline)
    parts = dict(loader.load("search", params))
    if with_test:
        parts |= loader.load("test", params)
    return parts


def check_models(
    task: Task, study: Study, parts: Mapping[str, Part], *, serves: bool = True
) -> OutputForm:
    """Takes the baseline's model through everything that the study will do with it.

    Args:
        task: Task whose data are prepared.
        study: Study with the baseline.
        parts: The parts by name, perhaps without ``test``.
        serves: Whether a model of raw input will be registered, if the task makes one.

    Returns:
        The form of the judged output.

    Raises:
        BadInputError: Something does not work; the message says what, and how to correct it.
    """
    from tuning.training.fit import build_model, judged_output
    from tuning.training.keras_process import set_seed, without_autologging

    quieten_mlflow()
    params = study.hyperparameters(study.baseline)
    set_seed(study.seed)
    try:
        model = build_model(task, params, parts["train"])
    except InfeasibleError as error:
        raise BadInputError(f"baseline: its model cannot be built: {error}") from error
    except BadInputError:
        raise
    except Exception as error:
        raise BadInputError(
            f"task: build fails for the baseline: {type(error).__name__}: {error}"
        ) from error
    form = judged_output(model, parts["validation"], study.compare)
    _check_all_labels(form, parts)
    with without_autologging():
        _train_one_batch(task, model, study, params, parts)
    x, y, _ = parts["validation"].head(ROWS)
    before = _predict(model, form, x, y, "validation")
    _check_metrics(study, form, parts, before, y)
    _check_saving(task, params, parts, model, form, (x, y), before, serves)
    return form


def _check_all_labels(form: OutputForm, parts: Mapping[str, Part]) -> None:
    for name, part in parts.items():
        labels = part.y if part.dataset is None else part.head(ROWS)[1]
        truth_of(form, form.select(labels), name)


def _train_one_batch(
    task: Task, model: Any, study: Study, params: Params, parts: Mapping[str, Part]
) -> None:
    """Trains one batch, and looks for the objective among the metrics."""
    from tuning.training.batches import weighted
    from tuning.training.recorder import numbers_of

    if isinstance(task, Fits):
        return  # only the task knows how to train its model
    size = study.training.resolve(params)["batch_size"]
    train = weighted(parts["train"], study.training.class_weight)
    try:
        # Not by fit: a task may have wrapped it, and would take the batch for an epoch.
        logs = _on_batch(model.train_on_batch, train.head(size))
        held_out = _on_batch(model.test_on_batch, parts["validation"].head(size))
    except Exception as error:
        raise BadInputError(
            f"task: the baseline's model cannot be trained: {type(error).__name__}: {error}"
        ) from error
    names = numbers_of({**logs, **{f"val_{name}": value for name, value in held_out.items()}})
    if study.objective.metric not in names:
        raise BadInputError(
            f"objective.metric: {study.objective.metric!r} is not among the metrics that Keras "
            f"reports: {', '.join(sorted(names))}"
        )


def _on_batch(function: Any, batch: Batch) -> Mapping[str, Any]:
    x, y, weights = batch
    logs: Mapping[str, Any] = function(x, y, sample_weight=weights, return_dict=True)
    return logs


def _predict(model: Any, form: OutputForm, x: Any, y: Any, part: str) -> "np.ndarray":
    raw = np.asarray(form.select(model.predict(x, batch_size=ROWS, verbose=0)))
    check_shapes(form, raw, form.select(y), part)
    return probabilities_or_values(form, raw)


def _check_metrics(
    study: Study, form: OutputForm, parts: Mapping[str, Part], output: "np.ndarray", y: Any
) -> None:
    """Computes every test metric with the labels of the test split and other predictions.

    Any predictions will do, because a metric refuses what it cannot judge by the truth.
    """
    test = parts.get("test")
    # The first rows of a data set, or of validation, may lack a class that the split has.
    is_whole = test is not None and test.dataset is None
    labels, weights = (y, None) if test is None else test.head(ROWS)[1:]
    if test is not None and is_whole:
        labels, weights = test.y, test.weights
    truth = truth_of(form, form.select(labels), "test")
    predicted = np.resize(output, (len(truth), *output.shape[1:]))
    steps = len(truth) // len(leaves(labels)[0])
    scales = _scales(study, form, parts["train"])
    if study.compare.class_weight is not None:
        if steps > 1 or form.kind not in ("binary", "multiclass"):
            raise BadInputError(
                "compare.class_weight needs one class per example; weigh the examples instead"
            )
        weights = weights_by_class(truth, weights, study.compare.class_weight)
    predictions = Predictions(
        truth,
        {},
        form.kind,
        steps,
        quantiles=study.compare.deciding.quantiles,
        weights=weights,
        scales=scales,
    )
    for metric in (study.compare.deciding, *study.compare.additional):
        if form.kind not in metric.kinds:
            raise BadInputError(
                f"compare.additional_metrics: {metric.name} judges "
                f"{' or '.join(sorted(metric.kinds))} predictions, but the model's are {form.kind}"
            )
        try:
            value = score(metric, predictions, predicted)
        except BadInputError:
            raise
        except Exception as error:
            if is_whole or ":" in metric.name:
                raise _cannot_be_computed(metric.name, str(error)) from error
            continue
        if is_whole and not math.isfinite(value) and np.isfinite(predicted).all():
            raise _cannot_be_computed(metric.name, f"its value is {value}")


def _cannot_be_computed(metric: str, why: str) -> BadInputError:
    return BadInputError(
        f"compare.metric: {metric} cannot be computed on the test rows: {why}; choose another "
        "metric, or correct the rows"
    )


def _scales(study: Study, form: OutputForm, train: Part) -> dict[str, float]:
    metrics = [study.compare.deciding, *study.compare.additional]
    if train.dataset is not None:
        scaled = next((metric.name for metric in metrics if metric.scale is not None), None)
        if scaled is not None:
            raise BadInputError(f"compare.metric: {scaled} needs training targets in arrays")
        return {}
    try:
        return scales_of(metrics, form.select(train.y))
    except ValueError as error:
        raise BadInputError(f"compare.metric: {error}") from error


def _check_serving(task: Task, params: Params, model_file: Path, folder: Path) -> None:
    """Makes the model of raw input, and asks it its example."""
    if not isinstance(task, Serves):
        return
    from tuning.registry.serving import try_served_model

    target = folder / "served_files"
    target.mkdir()
    try:
        options = asked(task.serve, params=params, cut=None)
        try_served_model(task.serve(model_file, target, **options), folder / "served")
    except BadInputError:
        raise
    except Exception as error:
        raise BadInputError(
            f"task: the model of raw input fails: {type(error).__name__}: {error}; correct serve"
        ) from error


def _check_saving(
    task: Task,
    params: Params,
    parts: Mapping[str, Part],
    model: Any,
    form: OutputForm,
    rows: tuple[Any, Any],
    before: "np.ndarray",
    serves: bool,
) -> None:
    """Saves the model, loads it as the end of the study will, and predicts the same rows."""
    from tuning.training.fit import build_model
    from tuning.training.saved_model import load_weights, save_model

    x, y = rows
    with tempfile.TemporaryDirectory() as folder:
        files = save_model(model, Path(folder), take(x, slice(1)))
        save_keras_model(Path(files["model"]), Path(files["model_spec"]), Path(folder, "mlflow"))
        if serves:
            _check_serving(task, params, Path(files["model"]), Path(folder))
        loaded = build_model(task, params, parts["train"])
        try:
            load_weights(loaded, Path(files["model"]))
        except Exception as error:
            raise BadInputError(
                f"task: the weights of a saved model cannot be loaded again ({error}); build must "
                "make the same layers every time"
            ) from error
    after = _predict(loaded, form, x, y, "validation")
    if not np.allclose(before, after, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
        largest = float(np.nanmax(np.abs(before - after)))
        raise BadInputError(
            "task: a model that is saved and loaded again predicts something else (by up to "
            f"{largest:.3g}); keep all of its state in variables of Keras"
        )
