"""Trainings in batches of one size are the trainings of Keras."""

from typing import Any

import numpy as np
import pytest

from tuning.core.errors import BadInputError
from tuning.data.parts import Part
from tuning.training.batches import (
    evaluation_batch,
    raw_value,
    training_data,
    validation_data,
    weighted,
)

pytestmark = pytest.mark.slow

BATCH = 8


def make(dropout: float = 0.0, seed: int = 3, loss: Any = "binary_crossentropy") -> Any:
    """A seeded model whose loss is a mean over examples that do not see each other."""
    return with_layers(seed=seed, dropout=dropout, loss=loss)


def with_layers(
    *layers: Any, seed: int = 3, dropout: float = 0.0, loss: Any = "binary_crossentropy"
) -> Any:
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    rows = keras.layers.Input((4,))
    x = keras.layers.Dense(6, activation="tanh")(rows)
    x = keras.layers.LayerNormalization()(x)
    for layer in layers:
        x = layer(x)
    x = keras.layers.Dropout(dropout)(x)
    model = keras.Model(rows, keras.layers.Dense(1, activation="sigmoid")(x))
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    return model


def part_of(x: Any, y: Any, weights: Any = None) -> Part:
    return Part("train", x, y, weights)


def examples(rows: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 4)).astype("float32")
    return x, (x.sum(axis=1) > 0).astype("float32")


def fitted(model: Any, **arguments: Any) -> dict[str, list[float]]:
    np.random.seed(1)
    history = model.fit(**arguments, epochs=3, verbose=0, validation_data=examples(16))
    return dict(history.history)


@pytest.mark.parametrize("left", [1, 2, 4])
def test_copies_that_fill_the_last_batch_change_no_weight(left: int) -> None:
    x, y = examples(5 * BATCH + left)
    plain, ours = make(), make()
    expected = fitted(plain, x=x, y=y, batch_size=BATCH)
    arguments = training_data(ours, part_of(x, y), BATCH)
    assert arguments["x"] is not x
    found = fitted(ours, **arguments)
    for a, b in zip(plain.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_allclose(expected["val_loss"], found["val_loss"], atol=1e-6)


@pytest.mark.full
def test_with_dropout_the_trainings_are_as_good_over_many_seeds() -> None:
    data, held_out = examples(20 * BATCH + 4), examples(64)
    differences = []
    for seed in range(8):
        losses = []
        for is_filled in (True, False):
            model = make(0.3, seed)
            arguments = {"x": data[0], "y": data[1], "batch_size": BATCH}
            if is_filled:
                arguments = training_data(model, part_of(*data), BATCH)
            np.random.seed(seed)
            model.fit(**arguments, epochs=8, verbose=0)
            losses.append(model.evaluate(*held_out, verbose=0)[0])
        differences.append(losses[1] - losses[0])
    error = np.std(differences, ddof=1) / np.sqrt(len(differences))
    assert abs(np.mean(differences)) < max(3 * error, 0.01)
    assert any(differences)


@pytest.mark.parametrize("rows", [5 * BATCH, 5 * BATCH + 3, BATCH - 4])
def test_what_cannot_be_filled_evenly_is_left_to_keras(rows: int) -> None:
    assert_left_to_keras(make(), *examples(rows))


def assert_left_to_keras(model: Any, x: Any, y: Any, weights: Any = None) -> None:
    given = training_data(model, part_of(x, y, weights), BATCH)
    assert given.keys() == {"x", "y", "sample_weight", "batch_size"}
    assert given["x"] is x and given["y"] is y and given["sample_weight"] is weights
    assert given["batch_size"] == BATCH


def batch_normalization() -> Any:
    import keras

    return with_layers(keras.layers.BatchNormalization())


def regularised_activity() -> Any:
    import keras

    return with_layers(keras.layers.ActivityRegularization(0.1))


def layer_of_the_user() -> Any:
    import keras

    class Own(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x - keras.ops.mean(x, axis=0)

    return with_layers(Own())


def model_of_the_user() -> Any:
    import keras

    class Own(keras.Model):  # type: ignore[misc]
        def train_step(self, *arguments: Any) -> Any:
            return super().train_step(*arguments)

    plain = make()
    model = Own(plain.inputs, plain.outputs)
    model.compile(loss="binary_crossentropy")
    return model


def loss_of_the_user() -> Any:
    def own(truth: Any, output: Any) -> Any:
        return (truth - output) ** 2

    return make(loss=own)


def summed_loss() -> Any:
    import keras

    return make(loss=keras.losses.BinaryCrossentropy(reduction="sum"))


@pytest.mark.parametrize(
    "model",
    [
        batch_normalization,
        regularised_activity,
        layer_of_the_user,
        model_of_the_user,
        loss_of_the_user,
        summed_loss,
    ],
)
def test_a_loss_that_is_no_mean_over_independent_examples_is_left_to_keras(model: Any) -> None:
    assert_left_to_keras(model(), *examples(5 * BATCH + 4))


def test_with_weights_the_batches_are_keras_s() -> None:
    x, y = examples(5 * BATCH + 4)
    assert_left_to_keras(make(), x, y, np.ones(len(x)))


def test_a_data_set_has_its_own_batches() -> None:
    dataset = object()
    part = Part("train", dataset=dataset)
    assert training_data(make(), part, BATCH) == {"x": dataset, "shuffle": False}
    assert validation_data(part) == {"validation_data": dataset}
    assert raw_value(part) is dataset


def test_validation_has_its_weights_and_a_batch_size_of_its_own() -> None:
    x, y = examples(600)
    given = validation_data(part_of(x, y))
    assert given["validation_batch_size"] == 300
    own = given["validation_data"]
    assert len(own) == 2 and own[0] is x and own[1] is y
    weights = np.ones(600)
    assert validation_data(part_of(x, y, weights))["validation_data"][2] is weights
    assert len(raw_value(part_of(x, y))) == 2
    assert raw_value(part_of(x, y, weights))[2] is weights


def test_on_every_other_backend_the_batches_are_keras_s(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    (x, y), model = examples(5 * BATCH + 4), make()
    assert training_data(model, part_of(x, y), BATCH)["x"] is not x
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    assert_left_to_keras(model, x, y)


def test_an_epoch_sees_every_example_and_all_of_a_batch_equally_often() -> None:
    rows = 5 * BATCH + 2
    x = np.arange(rows)
    batches = training_data(make(), part_of(x, x), BATCH)["x"]
    orders = []
    for _ in range(2):
        batches.on_epoch_begin()
        seen = [batches[index] for index in range(batches.num_batches)]
        assert {len(inputs) for inputs, _ in seen} == {BATCH}
        assert all(np.array_equal(inputs, targets) for inputs, targets in seen)
        counts = np.bincount(np.concatenate([inputs for inputs, _ in seen]), minlength=rows)
        assert sorted(counts) == [1] * (5 * BATCH) + [4, 4]
        orders.append(seen[0][0].tolist())
    assert orders[0] != orders[1]


@pytest.mark.parametrize("rows", [5_000, 20_000, 25_000, 257])
def test_an_evaluation_leaves_no_smaller_batch_over(rows: int) -> None:
    assert rows % evaluation_batch(rows) == 0


@pytest.mark.parametrize("rows", [10, 521])
def test_where_no_size_fits_an_evaluation_takes_the_usual_one(rows: int) -> None:
    assert evaluation_batch(rows) == 256


def test_the_inputs_of_a_batch_have_the_structure_of_the_inputs() -> None:
    rows = 5 * BATCH + 2
    x, y = np.arange(rows), {"out": np.arange(rows)}
    batches = training_data(make(), part_of({"a": x, "b": (x, x)}, y), BATCH)["x"]
    batches.on_epoch_begin()
    inputs, targets = batches[0]
    for each in (inputs["a"], *inputs["b"]):
        np.testing.assert_array_equal(each, targets["out"])


def test_balanced_weights_give_every_class_the_same_sum_and_keep_that_of_all() -> None:
    x, labels = np.zeros((8, 1)), np.array([0, 0, 0, 0, 0, 0, 2, 2])
    for y in (labels, labels[:, None], np.eye(3)[labels]):
        found = weighted(part_of(x, y), "balanced").weights
        assert found is not None
        assert found.tolist() == pytest.approx([4 / 6] * 6 + [2] * 2)
    own = np.array([1.0, 1, 1, 1, 1, 1, 3, 3])
    balanced = weighted(part_of(x, labels, own), "balanced").weights
    assert balanced is not None
    assert balanced.tolist() == pytest.approx([1.0] * 6 + [3.0] * 2)


def test_class_weights_multiply_the_weights_of_the_examples() -> None:
    x, y = np.zeros((3, 1)), np.array([0, 1, 1])
    part = part_of(x, y)
    assert weighted(part, None) is part
    found = weighted(part_of(x, y, np.array([1.0, 2.0, 3.0])), {1: 10.0, 7: 99.0}).weights
    assert found is not None and found.tolist() == [1.0, 20.0, 30.0]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (Part("train", dataset=object()), "labels in one array"),
        (part_of(np.zeros(3), {"a": np.zeros(3)}), "labels in one array"),
        (part_of(np.zeros(3), np.array([0, -1, 1])), "one class per example, from 0"),
        (part_of(np.zeros(2), np.zeros((2, 4, 3))), "one class per example, from 0"),
    ],
)
def test_labels_that_are_no_classes_have_no_class_weights(part: Part, reason: str) -> None:
    with pytest.raises(BadInputError, match=f"class_weight needs {reason}"):
        weighted(part, "balanced")
