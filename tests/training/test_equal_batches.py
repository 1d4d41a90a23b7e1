"""Trainings in batches of one size are the trainings of Keras."""

from typing import Any

import numpy as np
import pytest

from tuning.training.equal_batches import evaluation_batch, training_data

pytestmark = pytest.mark.slow

BATCH = 8


def make(dropout: float = 0.0, seed: int = 3) -> Any:
    """A seeded model whose gradient also depends on the whole batch."""
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    rows = keras.layers.Input((4,))
    x = keras.layers.Dense(6, activation="tanh")(rows)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(dropout)(x)
    model = keras.Model(rows, keras.layers.Dense(1, activation="sigmoid")(x))
    model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy", metrics=["accuracy"])
    return model


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
    found = fitted(ours, **training_data((x, y), BATCH))
    for a, b in zip(plain.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_allclose(expected["val_loss"], found["val_loss"], atol=1e-6)


@pytest.mark.full
def test_with_dropout_the_trainings_are_as_good_over_many_seeds() -> None:
    data, held_out = examples(20 * BATCH + 4), examples(64)
    differences = []
    for seed in range(8):
        losses = []
        for arguments in (
            training_data(data, BATCH),
            {"x": data[0], "y": data[1], "batch_size": BATCH},
        ):
            model = make(0.3, seed)
            np.random.seed(seed)
            model.fit(**arguments, epochs=8, verbose=0)
            losses.append(model.evaluate(*held_out, verbose=0)[0])
        differences.append(losses[1] - losses[0])
    error = np.std(differences, ddof=1) / np.sqrt(len(differences))
    assert abs(np.mean(differences)) < max(3 * error, 0.01)
    assert any(differences)


@pytest.mark.parametrize("rows", [5 * BATCH, 5 * BATCH + 3, BATCH - 4])
def test_what_cannot_be_filled_evenly_is_left_to_keras(rows: int) -> None:
    x, y = examples(rows)
    given = training_data((x, y), BATCH)
    assert given["x"] is x
    assert given["y"] is y
    assert given["batch_size"] == BATCH


def test_on_every_other_backend_the_batches_are_keras_s(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    x, y = examples(5 * BATCH + 4)
    assert training_data((x, y), BATCH)["x"] is not x
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    given = training_data((x, y), BATCH)
    assert given.keys() == {"x", "y", "batch_size"}
    assert given["x"] is x and given["y"] is y


def test_an_epoch_sees_every_example_and_all_of_a_batch_equally_often() -> None:
    rows = 5 * BATCH + 2
    x = np.arange(rows)
    batches = training_data((x, x), BATCH)["x"]
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
