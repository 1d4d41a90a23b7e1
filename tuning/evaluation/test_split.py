"""Predicts the test split with the confirmed models."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from tuning.core.record import BehaviourCount, Predictions
from tuning.core.task import (
    Behaviour,
    HasBehaviours,
    HasTestLengths,
    HasTestTexts,
    HasYardsticks,
    Task,
)
from tuning.metrics.binary import flips
from tuning.training.equal_batches import evaluation_batch
from tuning.training.fast_lstm.layer import accelerate
from tuning.training.keras_process import keep_freed_memory
from tuning.training.saved_model import load_model

MAX_TEXT = 2_000


def predict_test(
    task: Task, models: Mapping[str, Path], baseline: str | None, others: Sequence[str]
) -> Predictions:
    """Predicts the test split with every model.

    Args:
        task: Task with the test split. It may also offer lengths, texts, behaviours and
            yardsticks.
        models: Paths of the ``.keras`` files, by trial name. Each model has one sigmoid output.
        baseline: Name of the trial whose model the others are compared with; None if there is no
            such trial.
        others: Names of the trials that are compared with ``baseline``.

    Returns:
        Labels and probabilities for all models. Behaviours are counted only for ``baseline`` and
        ``others``, and texts are kept only for examples on which these differ.
    """
    keep_freed_memory()
    rows, labels = task.load("test")["test"]
    labels = np.asarray(labels)
    behaviours = task.behaviours() if isinstance(task, HasBehaviours) else []
    compared = [*([baseline] if baseline else []), *others]
    # Keras cannot load two models at the same time.
    loading = Lock()

    def read(name: str) -> tuple[np.ndarray, tuple[BehaviourCount, ...]]:
        with loading:
            model = load_model(models[name])
            accelerate(model)
        tests = behaviours if name in compared else []
        return _probability(model, rows), tuple(_count(model, behaviour) for behaviour in tests)

    # Two at a time: one recurrent model alone uses a second core only half of the time.
    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(models, pool.map(read, models), strict=True))
    probabilities = {name: result[0] for name, result in results.items()}
    return Predictions(
        labels,
        probabilities,
        lengths=task.test_lengths() if isinstance(task, HasTestLengths) else None,
        seen=int(np.shape(rows)[1]) if np.ndim(rows) == 2 else 0,
        texts=_flipped_texts(task, labels, probabilities, baseline, others),
        behaviours={name: counts for name, (_, counts) in results.items() if counts},
        yardsticks=task.yardsticks() if isinstance(task, HasYardsticks) else {},
    )


def _probability(model: Any, rows: Any) -> np.ndarray:
    predicted = model.predict(rows, batch_size=evaluation_batch(len(rows)), verbose=0)
    return np.asarray(predicted, dtype=np.float32).reshape(len(rows))


def _count(model: Any, behaviour: Behaviour) -> BehaviourCount:
    first = _probability(model, behaviour.inputs)
    second = first if behaviour.changed is None else _probability(model, behaviour.changed)
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


def _flipped_texts(
    task: Task,
    labels: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    baseline: str | None,
    others: Sequence[str],
) -> dict[int, str]:
    if baseline is None or not isinstance(task, HasTestTexts):
        return {}
    indexes = {
        index
        for other in others
        for right in (True, False)
        for index in flips(labels, probabilities[baseline], probabilities[other], right)
    }
    texts = task.test_texts(sorted(indexes))
    return {index: text[:MAX_TEXT] for index, text in texts.items()}
