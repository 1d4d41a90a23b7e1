"""What a model predicts is read from its outputs, its loss and its labels."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tuning.core.errors import BadInputError
from tuning.metrics.catalogue import make_metric
from tuning.metrics.outputs import OutputForm, output_form
from tuning.metrics.predictions import check_shapes, probabilities_or_values, truth_of

ROWS = 6
X = np.random.default_rng(0).normal(size=(ROWS, 3)).astype("float32")
BINARY = np.array([0, 1, 1, 0, 1, 0])
CLASSES = np.array([0, 2, 1, 1, 0, 2])
LABELS = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1]])
NUMBERS = np.linspace(-1, 1, ROWS)


def dense(units: int = 1, activation: Any = None, **options: Any) -> Any:
    import keras

    return keras.layers.Dense(units, activation=activation, **options)


def compiled(model: Any, loss: Any) -> Any:
    model.compile(loss=loss)
    return model


def sequential(*layers: Any, loss: Any = "binary_crossentropy") -> Any:
    import keras

    return compiled(keras.Sequential([keras.layers.Input((3,)), *layers]), loss)


def loss_of(name: str, **options: Any) -> Any:
    import keras

    return getattr(keras.losses, name)(**options)


def form_of(model: Any, labels: Any, metric: str = "accuracy", **options: Any) -> OutputForm:
    return output_form(model, labels, make_metric(metric), example=X[:1], **options)


def judged(model: Any, labels: Any, metric: str = "accuracy", **options: Any) -> Any:
    """The form of a model's output, its predictions of ``X`` and the truth, in one form."""
    form = form_of(model, labels, metric, **options)
    raw = np.asarray(form.select(model.predict(X, verbose=0)))
    own = form.select(labels)
    check_shapes(form, raw, own, "test")
    return form, probabilities_or_values(form, raw), truth_of(form, own, "test")


def functional() -> Any:
    import keras

    inputs = keras.layers.Input((3,))
    outputs = keras.ops.sigmoid(dense()(inputs))
    return compiled(keras.Model(inputs, outputs), "binary_crossentropy")


def nested() -> Any:
    import keras

    inputs = keras.layers.Input((3,))
    outputs = sequential(dense(1, "sigmoid"))(inputs)
    return compiled(keras.Model(inputs, outputs), "binary_crossentropy")


def mixed_precision() -> Any:
    import keras

    return sequential(dense(1, "sigmoid"), keras.layers.Activation("linear", dtype="float32"))


def separate_activation() -> Any:
    import keras

    return sequential(dense(), keras.layers.Activation("sigmoid"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: sequential(dense(1, "sigmoid")),
        functional,
        nested,
        mixed_precision,
        separate_activation,
    ],
)
@pytest.mark.parametrize("labels", [BINARY, BINARY[:, None], BINARY.astype(bool), BINARY * 1.0])
def test_one_sigmoid_unit_is_binary_however_it_is_written(
    make: Callable[[], Any], labels: Any
) -> None:
    model = make()
    form, predicted, truth = judged(model, labels)
    assert (form.kind, form.meaning, form.units) == ("binary", "probabilities", 1)
    np.testing.assert_array_equal(predicted, model.predict(X, verbose=0)[:, 0])
    np.testing.assert_array_equal(truth, BINARY)


def test_of_two_softmax_units_the_second_is_class_1() -> None:
    model = sequential(dense(2, "softmax"), loss="sparse_categorical_crossentropy")
    for labels in (BINARY, BINARY[:, None], np.eye(2)[BINARY]):
        form, predicted, truth = judged(model, labels)
        assert (form.kind, form.meaning) == ("binary", "probabilities")
        np.testing.assert_allclose(predicted, model.predict(X, verbose=0)[:, 1], rtol=1e-5)
        np.testing.assert_array_equal(truth, BINARY)


@pytest.mark.parametrize(
    ("labels", "loss"),
    [
        (CLASSES, "sparse_categorical_crossentropy"),
        (CLASSES[:, None], "sparse_categorical_crossentropy"),
        (np.eye(3)[CLASSES], "categorical_crossentropy"),
        (np.eye(3, dtype=bool)[CLASSES], "categorical_crossentropy"),
    ],
)
def test_softmax_is_multiclass_with_integer_and_one_hot_labels(labels: Any, loss: str) -> None:
    model = sequential(dense(3, "softmax"), loss=loss)
    form, predicted, truth = judged(model, labels)
    assert (form.kind, form.meaning, form.units) == ("multiclass", "probabilities", 3)
    np.testing.assert_allclose(predicted, model.predict(X, verbose=0), rtol=1e-5)
    np.testing.assert_array_equal(truth, CLASSES)


def test_several_sigmoid_units_are_labels_that_do_not_exclude_each_other() -> None:
    model = sequential(dense(3, "sigmoid"))
    form, predicted, truth = judged(model, LABELS, "f1_macro")
    assert (form.kind, form.meaning) == ("multilabel", "probabilities")
    np.testing.assert_array_equal(predicted, model.predict(X, verbose=0))
    np.testing.assert_array_equal(truth, LABELS)
    with pytest.raises(BadInputError, match=r"3 units with a sigmoid each.*use softmax"):
        form_of(model, CLASSES)


def test_logits_become_probabilities() -> None:
    def expected(raw: np.ndarray, kind: str) -> np.ndarray:
        if kind == "multiclass":
            powers = np.exp(raw)
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        shares = 1 / (1 + np.exp(-raw))
        return np.asarray(shares[:, 0] if kind == "binary" else shares)

    binary, sparse = "BinaryCrossentropy", "SparseCategoricalCrossentropy"
    for units, labels, loss, kind in (
        (1, BINARY, loss_of(binary, from_logits=True), "binary"),
        (3, LABELS, loss_of(binary, from_logits=True), "multilabel"),
        (3, CLASSES, loss_of(sparse, from_logits=True), "multiclass"),
        (
            3,
            np.eye(3)[CLASSES],
            loss_of("CategoricalCrossentropy", from_logits=True),
            "multiclass",
        ),
    ):
        model = sequential(dense(units), loss=loss)
        form, predicted, _ = judged(model, labels)
        assert (form.kind, form.meaning) == (kind, "logits")
        raw = model.predict(X, verbose=0).astype(float)
        np.testing.assert_allclose(predicted, expected(raw, kind), rtol=1e-6)
    model = sequential(dense(2), loss=loss_of(sparse, from_logits=True))
    _, predicted, _ = judged(model, BINARY)
    raw = model.predict(X, verbose=0).astype(float)
    np.testing.assert_allclose(predicted, expected(raw, "multiclass")[:, 1], rtol=1e-6)


@pytest.mark.parametrize("labels", [NUMBERS, NUMBERS[:, None]])
def test_a_linear_unit_predicts_numbers_which_have_no_axis_of_their_own(labels: Any) -> None:
    model = sequential(dense(), loss="mse")
    form, predicted, truth = judged(model, labels, "rmse")
    assert (form.kind, form.meaning) == ("regression", "values")
    np.testing.assert_array_equal(predicted, model.predict(X, verbose=0)[:, 0])
    np.testing.assert_array_equal(truth, NUMBERS)


def test_several_numbers_stay_columns() -> None:
    labels = np.stack([NUMBERS, -NUMBERS], axis=1)
    _, predicted, truth = judged(sequential(dense(2), loss="mae"), labels, "mae")
    assert predicted.shape == truth.shape == (ROWS, 2)
    with pytest.raises(BadInputError, match=r"have the shape \(6,\).*with 2 units"):
        judged(sequential(dense(2), loss="mae"), NUMBERS, "mae")


def own_loss(truth: Any, output: Any) -> Any:
    return (truth - output) ** 2


def test_what_the_numbers_of_an_unknown_loss_mean_must_be_said() -> None:
    for loss in (own_loss, None):
        model = sequential(dense(), loss=loss)
        with pytest.raises(
            BadInputError, match=r"activation is linear.*not known here.*outputs: "
        ):
            form_of(model, BINARY)
        assert form_of(model, BINARY, outputs="logits").meaning == "logits"
        assert form_of(model, BINARY, outputs="probabilities").meaning == "probabilities"
        # A metric of regression leaves no question.
        assert form_of(model, NUMBERS, "mae").meaning == "values"
    with pytest.raises(BadInputError, match="it has a loss of regression"):
        form_of(sequential(dense(), loss="mse"), BINARY)


def test_a_model_is_refused_by_a_metric_that_judges_something_else() -> None:
    softmax = sequential(dense(3, "softmax"), loss="sparse_categorical_crossentropy")
    with pytest.raises(BadInputError, match=r"f1 judges binary predictions, but.*are multiclass"):
        form_of(softmax, CLASSES, "f1")
    with pytest.raises(BadInputError, match=r"top_k.* judges multiclass.*are binary"):
        form_of(sequential(dense(1, "sigmoid")), BINARY, "top_k(k=2)")


def test_a_metric_of_the_user_judges_what_the_model_predicts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "own_metrics", ModuleType("own_metrics"))
    metric = make_metric("own_metrics:cost", "minimize")

    def kind(model: Any, labels: Any, **options: Any) -> str:
        return output_form(model, labels, metric, **options).kind

    assert kind(sequential(dense(1, "sigmoid")), BINARY) == "binary"
    assert kind(sequential(dense(), loss="mse"), NUMBERS) == "regression"
    assert kind(sequential(dense(), loss=own_loss), NUMBERS) == "regression"
    assert kind(sequential(dense(), loss=own_loss), BINARY, outputs="logits") == "binary"


def two_outputs(as_mapping: bool) -> Any:
    import keras

    inputs = keras.layers.Input((3,))
    kind = dense(3, "softmax", name="kind")(inputs)
    age = dense(name="age")(inputs)
    outputs = {"kind": kind, "age": age} if as_mapping else [kind, age]
    losses = {"kind": "sparse_categorical_crossentropy", "age": "mse"}
    model = keras.Model(inputs, outputs)
    return compiled(model, losses if as_mapping else list(losses.values()))


@pytest.mark.parametrize("as_mapping", [True, False])
def test_of_several_outputs_the_judged_one_is_named(as_mapping: bool) -> None:
    model = two_outputs(as_mapping)
    labels = {"kind": CLASSES, "age": NUMBERS} if as_mapping else [CLASSES, NUMBERS]
    answers = model.predict(X, verbose=0)
    for name, metric, truth in (("kind", "accuracy", CLASSES), ("age", "rmse", NUMBERS)):
        form, predicted, found = judged(model, labels, metric, output=name)
        assert form.name == name
        np.testing.assert_array_equal(found, truth)
        own = answers[name] if as_mapping else answers[["kind", "age"].index(name)]
        np.testing.assert_allclose(predicted, own if name == "kind" else own[:, 0], rtol=1e-5)
    with pytest.raises(BadInputError, match=r"compare\.output: the model has 2 outputs"):
        form_of(model, labels)
    with pytest.raises(BadInputError, match=r"compare\.output: the model has no output 'size'"):
        form_of(model, labels, output="size")


def subclassed(activation: str | None) -> Any:
    import keras

    class Own(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.last = dense(1, activation)

        def call(self, inputs: Any) -> Any:
            return self.last(inputs)

    return Own()


def test_a_subclassed_model_is_asked_with_an_example_and_known_by_its_loss() -> None:
    model = compiled(subclassed("sigmoid"), "binary_crossentropy")
    form, predicted, _ = judged(model, BINARY)
    assert (form.kind, form.meaning, form.units) == ("binary", "probabilities", 1)
    np.testing.assert_array_equal(predicted, model.predict(X, verbose=0)[:, 0])
    logits = compiled(subclassed(None), loss_of("BinaryCrossentropy", from_logits=True))
    assert form_of(logits, BINARY).meaning == "logits"
    numbers = compiled(subclassed(None), "mse")
    assert form_of(numbers, NUMBERS, "mae").kind == "regression"
    with pytest.raises(BadInputError, match="activation is unknown, and it has a loss of regres"):
        form_of(numbers, BINARY)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(BadInputError, match=r"build returns a str, not a keras\.Model"):
        form_of("no model", BINARY)


# With as many steps as classes, integer labels have the shape of one-hot labels of one step.
@pytest.mark.parametrize("steps", [4, 3])
def test_every_step_of_a_sequence_is_a_row(steps: int) -> None:
    import keras

    layers = [keras.layers.RepeatVector(steps), dense(3, "softmax")]
    model = sequential(*layers, loss="sparse_categorical_crossentropy")
    labels = np.random.default_rng(1).integers(0, 3, (ROWS, steps))
    form, predicted, truth = judged(model, labels)
    assert form.kind == "multiclass"
    assert predicted.shape == (steps * ROWS, 3)
    np.testing.assert_array_equal(truth, labels.reshape(-1))
    _, predicted, truth = judged(model, np.eye(3)[labels])
    np.testing.assert_array_equal(truth, labels.reshape(-1))


def test_steps_of_another_number_than_the_labels_are_found_in_the_predictions() -> None:
    of = OutputForm("multiclass", "probabilities", 0, "out", 3, True, (None,))
    raw = np.full((2, 4, 3), 1 / 3)
    check_shapes(of, raw, np.zeros((2, 4), int), "test")
    with pytest.raises(BadInputError, match=r"'out' has the shape \(2, 4, 3\), but.*\(2, 5\); th"):
        check_shapes(of, raw, np.zeros((2, 5), int), "test")


def doubled() -> Any:
    import keras

    return sequential(dense(1, "sigmoid"), keras.layers.Rescaling(2.0))


def too_large() -> Any:
    """One unit without an activation, whose loss takes probabilities."""
    return sequential(dense(1, kernel_initializer="ones", bias_initializer="ones"))


def shares_of_their_own() -> Any:
    loss = "sparse_categorical_crossentropy"
    return sequential(dense(3, "softmax"), dense(3, "sigmoid"), loss=loss)


@pytest.mark.parametrize(
    ("make", "labels", "reason"),
    [
        (too_large, BINARY, r"is linear, but its loss takes probabilities.*from_logits=True"),
        (doubled, BINARY, r"should be probabilities, but one is 1\."),
        (shares_of_their_own, np.eye(3)[CLASSES], "3 units with a sigmoid|must sum to 1"),
    ],
)
def test_probabilities_that_are_none_are_refused(make: Any, labels: Any, reason: str) -> None:
    model = make()
    if make is doubled:
        model.layers[0].set_weights([np.zeros((3, 1)), np.ones(1)])
    with pytest.raises(BadInputError, match=reason):
        judged(model, labels)


def test_softmax_probabilities_sum_to_1_and_are_made_to_exactly() -> None:
    form = OutputForm("multiclass", "probabilities", 0, "output", 3, True)
    rough = np.array([[0.2, 0.3, 0.501]])
    np.testing.assert_allclose(probabilities_or_values(form, rough).sum(axis=1), 1.0, atol=1e-12)
    with pytest.raises(BadInputError, match=r"must sum to 1, but one sum is 1\.1; end the model"):
        probabilities_or_values(form, np.array([[0.2, 0.3, 0.6]]))
    assert np.isnan(probabilities_or_values(form, np.full((1, 3), np.nan))).all()


def form(kind: Any, units: int) -> OutputForm:
    return OutputForm(kind, "probabilities", 0, "out", units, True)


@pytest.mark.parametrize(
    ("of", "labels", "reason"),
    [
        (form("binary", 1), [0, 1, 2], "contain 2; classes are whole numbers from 0 to 1"),
        (form("binary", 1), [-1, 1, 1], "contain -1; classes are"),
        (form("binary", 1), [0.1, 0.9, 1.0], r"contain 0\.1, which is no class"),
        (form("binary", 1), [0.0, np.nan, 1.0], "contain values that are not finite"),
        (form("binary", 1), ["no", "yes", "no"], "are of type <U3"),
        (form("binary", 1), [], "are empty"),
        (form("binary", 1), [[0, 1], [1, 0]], r"have the shape \(2, 2\)"),
        (form("multiclass", 3), [[0, 1], [1, 0]], r"have the shape \(2, 2\)"),
        (form("multiclass", 3), [0, 3, 1], "contain 3; classes are whole numbers from 0 to 2"),
        (form("multiclass", 3), [[1, 1, 0]], "have a value per class, but some are not one-hot"),
        (form("multiclass", 3), [[0, 0, 0]], "have a value per class, but some are not one-hot"),
        (
            form("multiclass", 3),
            [[0.2, 0.8, 0]],
            "have a value per class, but some are not one-hot",
        ),
        (form("multilabel", 3), [[0, 1]], r"have the shape \(1, 2\)"),
        (form("multilabel", 3), [[0, 1, 2]], "contain 2; classes are whole numbers from 0 to 1"),
        (form("regression", 1), [0.5, np.inf], "contain values that are not finite"),
        (form("regression", 1), [[0.5, 0.2]], r"have the shape \(1, 2\)"),
        (form("regression", 2), [0.5, 0.2], r"have the shape \(2,\)"),
        (form("regression", 1), ["a lot"], "are of type <U5"),
    ],
)
def test_labels_that_do_not_fit_are_refused(of: OutputForm, labels: Any, reason: str) -> None:
    unit = f"{of.units} unit" + "s" * (of.units > 1)
    message = (
        f"task: the labels of the part 'train' {reason}.*'out' is {of.kind} with {unit}(; if |$)"
    )
    with pytest.raises(BadInputError, match=message):
        truth_of(of, labels, "train")
