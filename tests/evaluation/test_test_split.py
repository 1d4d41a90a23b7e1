"""The test split is predicted in the form that the metric judges, whatever the model is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests.toy_task import ToyTask
from tuning.core.errors import BadInputError
from tuning.core.record import Predictions
from tuning.core.task import Task
from tuning.data.loading import Loader
from tuning.evaluation.test_split import TrainedModel, predict_test
from tuning.study.sections import Compare

pytestmark = pytest.mark.slow

X = np.random.default_rng(0).normal(size=(30, 3)).astype("float32")
CLASSES = np.arange(30) % 3
NUMBERS = np.linspace(0, 9, 30)


class Rows:
    """The same rows in all parts; ``units`` softmax units, or one linear unit."""

    def __init__(self, labels: Any, units: int = 3, weights: Any = None) -> None:
        self._part = (X, labels) if weights is None else (X, labels, weights)
        self._units = units

    def load(self, split: str, params: Mapping[str, Any]) -> dict[str, Any]:
        x, *rest = self._part
        names = ("train", "validation") if split == "search" else ("test",)
        if params.get("reverse"):
            rest = [each[::-1] for each in rest]
        return {name: (x, *rest) for name in names}

    def build(self, params: Mapping[str, Any]) -> Any:
        import keras

        several = self._units > 1
        last = keras.layers.Dense(self._units, "softmax" if several else None)
        model = keras.Sequential([keras.layers.Input((3,)), last])
        model.compile(loss="sparse_categorical_crossentropy" if several else "mse")
        return model


def predicted(
    task: Any, folder: Path, rule: Compare, params: tuple[dict[str, Any], ...] = ({}, {})
) -> tuple[Predictions, dict[str, Any]]:
    """What two untrained models predict, and what Keras says that they do."""
    models, raw = {}, {}
    for name, own in zip("ab", params, strict=True):
        model = task.build(own)
        file = folder / f"{name}.keras"
        model.save(file)
        models[name] = TrainedModel(own, file)
        raw[name] = model.predict(X, verbose=0)
    task = cast(Task, task)
    return predict_test(task, Loader(task), rule, models, "a", ["b"]), raw


def test_a_classifier_of_several_classes(tmp_path: Path) -> None:
    weights = np.linspace(1, 2, 30)
    found, raw = predicted(Rows(CLASSES, weights=weights), tmp_path, Compare())
    assert (found.kind, found.steps, found.examples) == ("multiclass", 1, 30)
    np.testing.assert_array_equal(found.truth, CLASSES)
    assert found.weights is not None
    np.testing.assert_array_equal(found.weights, weights)
    for name, probabilities in raw.items():
        np.testing.assert_allclose(found.outputs[name], probabilities, rtol=1e-5)
    # Inputs on which the models differ are kept as numbers, where the task has no texts.
    right = [raw[name].argmax(axis=1) == CLASSES for name in "ab"]
    changed = set(np.flatnonzero(right[0] != right[1]).tolist())
    assert found.texts and set(found.texts) <= changed
    index = min(found.texts)
    assert found.texts[index] == ", ".join(f"{value:.4g}" for value in X[index])


def test_numbers_and_the_scale_of_a_scaled_metric(tmp_path: Path) -> None:
    found, raw = predicted(Rows(NUMBERS, units=1), tmp_path, Compare(metric="mase"))
    assert found.kind == "regression"
    np.testing.assert_array_equal(found.truth, NUMBERS)
    np.testing.assert_allclose(found.outputs["a"], raw["a"][:, 0], rtol=1e-5)
    assert found.scales == {"mase(period=1)": pytest.approx(9 / 29)}


def test_models_whose_data_have_other_test_labels_are_not_compared(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="test rows of trial b differ from those of a"):
        predicted(Rows(NUMBERS, units=1), tmp_path, Compare(metric="mae"), ({}, {"reverse": 1}))


def test_a_model_that_does_not_fit_its_file_is_no_answer(tmp_path: Path) -> None:
    ToyTask().build({"units": 4, "rate": 0.0}).save(tmp_path / "a.keras")
    task = ToyTask()
    models = {"a": TrainedModel({"units": 6, "rate": 0.0}, tmp_path / "a.keras")}
    with pytest.raises(ValueError, match="must match"):
        predict_test(task, Loader(task), Compare(), models, None, [])
