"""Predicts the test split with the confirmed models."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from tuning.core.errors import BadInputError
from tuning.core.record import BehaviourCount, Predictions
from tuning.core.task import (
    Behaviour,
    HasBehaviours,
    HasTestLengths,
    HasTestTexts,
    HasYardsticks,
    Task,
)
from tuning.core.trial import Params
from tuning.data.cuts import Cut
from tuning.data.loading import Loader
from tuning.data.parts import Part, leaves, rows_of
from tuning.data.weights import weights_by_class
from tuning.evaluation.dependence import with_dependence
from tuning.evaluation.pictures import picture_of, text_of
from tuning.metrics.examples import changed_examples
from tuning.metrics.outputs import OutputForm
from tuning.metrics.predictions import probabilities_or_values, truth_of
from tuning.metrics.scoring import scales_of
from tuning.study.sections import Compare
from tuning.training.batches import EVALUATION_BATCH, evaluation_batch
from tuning.training.fit import judged_output, rebuild
from tuning.training.keras_process import keep_freed_memory

MAX_TEXT = 2_000


@dataclass(frozen=True)
class TrainedModel:
    """A trained model.

    Attributes:
        params: Hyperparameters that build it.
        file: File with its weights.
        cut: Cut whose training rows it has learned; None for the task's own.
    """

    params: Params
    file: Path
    cut: Cut | None = None

    def test_part(self, loader: Loader) -> Part:
        """Returns the test part in the form that the model takes."""
        return loader.load("test", self.params, self.cut)["test"]


@dataclass(frozen=True)
class _Answer:
    """What one model predicts, with the truth and the weights of the same examples.

    An example has ``steps`` rows of output and truth; see ``Predictions``.
    """

    output: np.ndarray
    truth: np.ndarray
    weights: np.ndarray | None
    steps: int
    form: OutputForm
    behaviours: tuple[BehaviourCount, ...] = ()


def predict_test(
    task: Task,
    loader: Loader,
    rule: Compare,
    models: Mapping[str, TrainedModel],
    baseline: str | None,
    others: Sequence[str],
) -> Predictions:
    """Predicts the test split with every model.

    Args:
        task: Task that builds the models. It may also offer lengths, texts, behaviours and
            yardsticks.
        loader: Loader of the task's data.
        rule: Rule that says which output is judged, and by which metric.
        models: Models by trial name.
        baseline: Name of the trial whose model the others are compared with; None if there is no
            such trial.
        others: Names of the trials that are compared with ``baseline``.

    Returns:
        Truth and predictions of all models. Behaviours are counted only for ``baseline`` and
        ``others``, and inputs are kept only for examples on which these differ.

    Raises:
        BadInputError: Two models have not the same test rows, because their data depend on
            hyperparameters; or the outputs cannot be judged.
    """
    keep_freed_memory()
    behaviours = task.behaviours() if isinstance(task, HasBehaviours) else []
    compared = [*([baseline] if baseline else []), *others]
    # Keras cannot build or load two models at the same time, and the loader keeps one split.
    building = Lock()

    def build(name: str) -> tuple[Any, OutputForm, Part]:
        with building:
            part = models[name].test_part(loader)
            model = rebuild(task, models[name].params, part, models[name].file)
        return model, judged_output(model, part, rule), part

    def counts_of(name: str, model: Any, form: OutputForm) -> tuple[BehaviourCount, ...]:
        tests = behaviours if name in compared else []
        return tuple(_count(model, form, behaviour) for behaviour in tests)

    def answer(name: str) -> _Answer:
        model, form, part = build(name)
        return replace(_predict(model, form, part), behaviours=counts_of(name, model, form))

    # Two at a time: one recurrent model alone uses a second core only half of the time.
    some_model = next(iter(models.values()))
    first_part = some_model.test_part(loader)
    if first_part.dataset is not None and not loader.takes_params and some_model.cut is None:
        built = {name: build(name)[:2] for name in models}
        answers = {
            name: replace(each, behaviours=counts_of(name, *built[name]))
            for name, each in _predict_together(built, first_part).items()
        }
    else:
        with ThreadPoolExecutor(2) as pool:
            answers = dict(zip(models, pool.map(answer, models), strict=True))
    first = next(iter(answers.values()))
    for name, each in answers.items():
        if not np.array_equal(each.truth, first.truth):
            raise BadInputError(
                f"task: the test rows of trial {name} differ from those of {next(iter(answers))}; "
                "load must return the same rows and labels for all hyperparameters"
            )
    params = some_model.params
    metrics = [metric for metric in (rule.deciding, *rule.additional) if metric.scale is not None]
    scales: dict[str, float] = {}
    if metrics:
        scales = scales_of(metrics, first.form.select(loader.load("search", params)["train"].y))
    part = some_model.test_part(loader)
    known = loader.dependence(params, "test")
    predictions = Predictions(
        first.truth,
        {name: each.output for name, each in answers.items()},
        first.form.kind,
        first.steps,
        quantiles=rule.deciding.quantiles,
        shape=tuple(np.shape(first.form.select(_labels_of(part)))[1:]),
        weights=weights_by_class(first.truth, first.weights, rule.class_weight),
        scales=scales,
        lengths=task.test_lengths() if isinstance(task, HasTestLengths) else None,
        seen=_seen(part),
        behaviours={name: each.behaviours for name, each in answers.items() if each.behaviours},
        yardsticks=task.yardsticks() if isinstance(task, HasYardsticks) else {},
    )
    predictions = with_dependence(predictions, times=known.times, groups=known.groups)
    return _with_inputs(task, part, predictions, baseline, others)


def _predict(model: Any, form: OutputForm, part: Part) -> _Answer:
    if part.dataset is not None:
        return _predict_together({"": (model, form)}, part)[""]
    examples = rows_of(part.x)
    raw = model.predict(part.x, batch_size=evaluation_batch(examples), verbose=0)
    output = probabilities_or_values(form, form.select(raw))
    truth = truth_of(form, form.select(part.y), "test")
    return _Answer(output, truth, part.weights, len(truth) // examples, form)


def _predict_together(
    models: Mapping[str, tuple[Any, OutputForm]], part: Part
) -> dict[str, _Answer]:
    """Predicts a data set with all models batch by batch, so that it is read only once.

    Then a set that shuffles keeps its labels, and has the same order for every model.
    """
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in models}
    truths: dict[str, list[np.ndarray]] = {name: [] for name in models}
    weights: list[np.ndarray] = []
    examples = 0
    for x, y, own in part.batches(EVALUATION_BATCH):
        examples += rows_of(x)
        for name, (model, form) in models.items():
            raw = model.predict_on_batch(x)
            outputs[name].append(probabilities_or_values(form, form.select(raw)))
            truths[name].append(truth_of(form, form.select(y), "test"))
        weights += [] if own is None else [np.asarray(own)]
    joined = np.concatenate(weights) if weights else None
    answers = {}
    for name, (_, form) in models.items():
        truth = np.concatenate(truths[name])
        steps = len(truth) // examples
        answers[name] = _Answer(np.concatenate(outputs[name]), truth, joined, steps, form)
    return answers


def _labels_of(part: Part) -> Any:
    return part.head(1)[1]


def _seen(part: Part) -> int:
    arrays = leaves(part.x)
    return int(arrays[0].shape[1]) if len(arrays) == 1 and arrays[0].ndim == 2 else 0


def _count(model: Any, form: OutputForm, behaviour: Behaviour) -> BehaviourCount:
    def ask(inputs: Any) -> np.ndarray:
        raw = model.predict(inputs, batch_size=evaluation_batch(len(inputs)), verbose=0)
        return probabilities_or_values(form, form.select(raw))

    first = ask(behaviour.inputs)
    second = first if behaviour.changed is None else ask(behaviour.changed)
    wrong = {
        "positive": first < 0.5,
        "negative": first >= 0.5,
        "same": (first >= 0.5) != (second >= 0.5),
        "higher": second <= first,
        "lower": second >= first,
    }[behaviour.expects]
    return BehaviourCount(
        behaviour.name, behaviour.expects, behaviour.example, len(wrong), int(wrong.sum())
    )


def _with_inputs(
    task: Task, part: Part, predictions: Predictions, baseline: str | None, others: Sequence[str]
) -> Predictions:
    """Adds the inputs on which two models differ, as texts and pictures."""
    if baseline is None or predictions.steps > 1:
        return predictions
    indexes = sorted(
        {
            index
            for other in others
            for better in (True, False)
            for index in changed_examples(predictions, baseline, other, better=better)
        }
    )
    images: dict[int, str] = {}
    if isinstance(task, HasTestTexts):
        texts = task.test_texts(indexes)
    elif part.dataset is None:
        pictures = {index: picture_of(part.x, index) for index in indexes}
        images = {index: picture for index, picture in pictures.items() if picture}
        texts = {index: text_of(part.x, index) for index in indexes if index not in images}
    else:
        texts = {}
    kept = {index: text[:MAX_TEXT] for index, text in texts.items() if text}
    return replace(predictions, texts=kept, images=images)
