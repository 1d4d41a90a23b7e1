"""Every fault that would show after hours of training is found by the check, with its cure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kinds import tasks
from tests.kinds.cases import CASES, Case
from tests.kinds.test_kinds import study_of
from tuning.core.errors import BadInputError
from tuning.core.forms import ServedModel
from tuning.data.loading import Loader
from tuning.study.file import parse_study
from tuning.workflow.check import check_models, load_parts

pytestmark = pytest.mark.slow


def check(task: Any, **study: Any) -> Any:
    metric = study.pop("metric", "accuracy")
    base = study_of(Case("Sigmoid", metric, lambda y, p: 0.0))
    for name, value in study.items():
        base[name] = {**base[name], **value} if isinstance(value, Mapping) else value
    made = parse_study(base, "test")
    loader = Loader(task)
    return check_models(task, made, load_parts(loader, made))


def refused(task: Any, **study: Any) -> str:
    with pytest.raises(BadInputError) as caught:
        check(task, **study)
    return str(caught.value)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.task, marks=[pytest.mark.full] if case.slow else [])
        for case in CASES
        if case.backend == "jax"
    ],
)
def test_what_can_be_judged_passes(case: Case) -> None:
    study = parse_study(study_of(case), "test")
    task = getattr(tasks, case.task)()
    form = check_models(task, study, load_parts(Loader(task), study))
    assert form.kind in study.compare.deciding.kinds


class Changed(tasks.Dense):
    """A dense network with another end."""

    def __init__(self, units: int, activation: str | None, loss: Any, y: Any = None) -> None:
        self.units, self.activation, self.loss = units, activation, loss
        self._y = y

    def examples(self) -> tuple[Any, ...]:
        x, y = tasks.cancer()
        return x, y if self._y is None else self._y(y)


def test_a_regression_is_not_judged_by_accuracy() -> None:
    text = refused(Changed(1, None, "mse"))
    assert "whether the model's output 'dense_1' is probabilities or logits is unknown" in text
    assert "its activation is linear, and it has a loss of regression" in text
    assert "choose a metric such as rmse" in text


def test_a_classifier_is_not_judged_by_a_metric_of_numbers() -> None:
    text = refused(Changed(3, "softmax", "sparse_categorical_crossentropy"), metric="rmse")
    assert "the labels of the part 'train' have the shape (284,)" in text
    assert "is regression with 3 units; if the labels are classes, choose a metric" in text


def test_a_metric_of_another_kind_is_refused() -> None:
    text = refused(Changed(3, "softmax", "sparse_categorical_crossentropy"), metric="f1")
    assert "f1 judges binary predictions, but the model's are multiclass" in text


def test_a_linear_output_with_a_loss_of_probabilities_is_refused() -> None:
    text = refused(Changed(1, None, "binary_crossentropy"))
    assert "is linear, but its loss takes probabilities" in text
    assert "from_logits=True" in text


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (lambda y: y + 2, "; classes are whole numbers from 0 to 1"),
        (lambda y: np.where(y == 1, 0.9, 0.1), ", which is no class"),
        (lambda y: np.where(y == 1, np.nan, 0.0), "contain values that are not finite"),
        (lambda y: y * 1j, "are of type complex128"),
    ],
    ids=["range", "soft", "nan", "complex"],
)
def test_labels_that_fit_no_class_are_refused(labels: Any, problem: str) -> None:
    text = refused(Changed(1, "sigmoid", "binary_crossentropy", labels))
    assert text.startswith("task: the labels of the part ")
    assert problem in text


def test_sigmoids_with_one_class_per_row_are_refused() -> None:
    text = refused(Changed(3, "sigmoid", "binary_crossentropy"))
    assert "3 units with a sigmoid each" in text
    assert "use softmax for classes that exclude each other" in text


def test_the_judged_output_must_be_named() -> None:
    text = refused(tasks.TwoOutputs(), metric="rmse", objective={"metric": "val_loss"})
    assert "the model has 2 outputs (high, progress); name the one that is judged" in text
    text = refused(
        tasks.TwoOutputs(),
        metric="rmse",
        objective={"metric": "val_loss"},
        compare={"output": "low"},
    )
    assert "the model has no output 'low'; it has high, progress" in text


def test_the_objective_must_be_reported() -> None:
    text = refused(tasks.Sigmoid(), objective={"metric": "val_auc"})
    assert "'val_auc' is not among the metrics that Keras reports: accuracy, loss, val_" in text


def test_a_metric_that_the_test_labels_do_not_allow_is_refused() -> None:
    class OneClass(tasks.Sigmoid):
        def load(self, split_name: str) -> Any:
            parts = super().load(split_name)
            return {
                name: (x, np.zeros_like(y) if name == "test" else y)
                for name, (x, y) in parts.items()
            }

    text = refused(OneClass(), metric="roc_auc")
    assert "roc_auc cannot be computed on the test rows" in text


def broken_metric(truth: Any, prediction: Any) -> float:
    raise KeyError("typo")


@pytest.mark.parametrize("name", ["broken_metric", "missing_metric"])
def test_a_metric_of_the_user_that_fails_is_refused(name: str) -> None:
    text = refused(tasks.Sigmoid(), metric=f"{__name__}:{name}", compare={"direction": "maximize"})
    assert name in text


def test_a_metric_of_the_user_must_take_the_weights() -> None:
    text = refused(
        tasks.Weighted(), metric="tests.kinds.tasks:cost", compare={"direction": "minimize"}
    )
    assert "takes no weights, but the test rows have some" in text


class NotCompiled(tasks.Sigmoid):
    def compiled(self, model: Any) -> Any:
        return model


class NoModel(tasks.Sigmoid):
    def build(self, params: Any) -> Any:
        return "a model"


class Typo(tasks.Sigmoid):
    def build(self, params: Any) -> Any:
        return params["unitz"]


class WrongShape(tasks.Sigmoid):
    def build(self, params: Any) -> Any:
        import keras

        model = keras.Sequential(
            [keras.layers.Input((7,)), keras.layers.Dense(1, activation="sigmoid")]
        )
        return self.compiled(model)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (NotCompiled(), "task: the model is not compiled"),
        (NoModel(), "task: build must return a keras.Model; got str"),
        (Typo(), "task: build fails for the baseline: KeyError: 'unitz'"),
        (WrongShape(), "task: the baseline's model cannot be trained"),
    ],
    ids=["not compiled", "no model", "typo", "shape"],
)
def test_a_model_that_cannot_be_trained_is_refused(task: Any, message: str) -> None:
    assert message in refused(task)


def test_a_layer_without_a_config_is_saved_by_its_weights() -> None:
    class Unsavable(tasks.Sigmoid):
        def hidden(self, x: Any, params: Any) -> Any:
            import keras

            class Layer(keras.layers.Layer):  # type: ignore[misc]
                def __init__(self, function: Any) -> None:
                    super().__init__()
                    self.function = function

                def call(self, x: Any) -> Any:
                    return self.function(x)

                def get_config(self) -> Any:
                    raise NotImplementedError("no config")

            return Layer(lambda t: t * 2)(super().hidden(x, params))

    assert check(Unsavable()).kind == "binary"


def test_state_outside_of_keras_is_refused() -> None:
    count = iter(range(99))

    class Stateful(tasks.Sigmoid):
        def hidden(self, x: Any, params: Any) -> Any:
            return super().hidden(x * (1.0 + 3 * next(count)), params)

    text = refused(Stateful())
    assert "a model that is saved and loaded again predicts something else" in text
    assert "keep all of its state in variables of Keras" in text


def test_layers_that_change_from_build_to_build_are_refused() -> None:
    count = iter(range(4, 99))

    class Growing(tasks.Sigmoid):
        def hidden(self, x: Any, params: Any) -> Any:
            return super().hidden(x, {"units": next(count)})

    assert "the weights of a saved model cannot be loaded again" in refused(Growing())


def test_a_serve_that_fails_is_refused() -> None:
    class Serving(tasks.Sigmoid):
        def serve(self, model_file: Path, folder: Path) -> ServedModel:
            code = folder / "model.py"
            code.write_text("import mlflow\nmlflow.models.set_model(Nothing())\n")
            return ServedModel(
                code=code,
                artifacts={"model": model_file},
                inputs={"text": "string"},
                outputs={"label": "string"},
                input_example={"text": ["a"]},
                pip_requirements=["mlflow"],
            )

    text = refused(Serving())
    assert "task: the model of raw input fails" in text
    assert "Nothing" in text
    # Where nothing may be registered, nothing needs to serve.
    study = parse_study(study_of(Case("Sigmoid", "accuracy", lambda y, p: 0.0)), "test")
    task = Serving()
    assert check_models(task, study, load_parts(Loader(task), study), serves=False)


def test_an_infeasible_baseline_is_refused() -> None:
    from tuning.core.errors import InfeasibleError

    class Infeasible(tasks.Sigmoid):
        def build(self, params: Any) -> Any:
            raise InfeasibleError("too small")

    assert "baseline: its model cannot be built: too small" in refused(Infeasible())
