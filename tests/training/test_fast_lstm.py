"""The faster LSTM is Keras's LSTM: outputs, gradients, random numbers, saved models."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

STEPS, FEATURES, BATCH = 9, 5, 4


@pytest.fixture(autouse=True)
def full_precision() -> Iterator[None]:
    """Without it a GPU multiplies with the ten bits of TensorFloat-32."""
    import jax

    with jax.default_matmul_precision("highest"):
        yield


def make(wrap: str = "", masking: bool = False, **options: Any) -> Any:
    """A seeded model around one LSTM."""
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(3)
    rows = keras.layers.Input((STEPS,), dtype="int32")
    x = keras.layers.Embedding(20, FEATURES, mask_zero=masking)(rows)
    lstm = keras.layers.LSTM(6, **options)
    x = (keras.layers.Bidirectional(lstm) if wrap else lstm)(x)
    if options.get("return_sequences"):
        x = keras.layers.GlobalMaxPooling1D()(x)
    model = keras.Model(rows, keras.layers.Dense(1, activation="sigmoid")(x))
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    return model


def trained(model: Any) -> tuple[list[float], list[Any], Any]:
    """Losses, weights and predictions after a few epochs; the last batch is a smaller one."""
    random = np.random.default_rng(0)
    x = random.integers(0, 20, (3 * BATCH - 1, STEPS)).astype("int32")
    y = random.integers(0, 2, len(x))
    np.random.seed(1)
    history = model.fit(x, y, batch_size=BATCH, epochs=4, verbose=0)
    return history.history["loss"], model.get_weights(), model.predict(x, verbose=0)


@cache
def trained_by_keras(options: tuple[tuple[str, Any], ...]) -> tuple[list[float], list[Any], Any]:
    return trained(make(**dict(options)))


def same(one: Any, other: Any) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


PLAIN, BOTH = (0.0, 0.0), (0.3, 0.3)
CASES: list[tuple[dict[str, Any], tuple[float, float], str]] = [
    # The platform says whose loop; either computes the same everywhere.
    ({}, PLAIN, "cpu"),
    ({}, PLAIN, "gpu"),
]
MORE: list[tuple[dict[str, Any], tuple[float, float], str]] = [
    ({}, BOTH, "cpu"),
    ({"wrap": "bidirectional", "return_sequences": True}, PLAIN, "cpu"),
    ({}, BOTH, "gpu"),
    ({"go_backwards": True}, BOTH, "cpu"),
    ({"go_backwards": True}, BOTH, "gpu"),
    ({"wrap": "bidirectional", "return_sequences": True}, PLAIN, "gpu"),
    *(
        (options, dropouts, platform)
        for platform in ("cpu", "gpu")
        for options, dropouts in (
            ({}, (0.3, 0.0)),
            ({}, (0.0, 0.3)),
            ({"return_sequences": True}, BOTH),
            ({"wrap": "bidirectional"}, (0.3, 0.0)),
        )
    ),
]


@pytest.mark.parametrize(
    ("options", "dropouts", "platform"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.full) for case in MORE)],
)
def test_a_training_gives_the_same_numbers(
    options: dict[str, Any],
    dropouts: tuple[float, float],
    platform: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import jax

    from tuning.training.fast_lstm.layer import accelerate

    options = {**options, "dropout": dropouts[0], "recurrent_dropout": dropouts[1]}
    plain = trained_by_keras(tuple(options.items()))
    model = make(**options)
    with monkeypatch.context() as patch:
        patch.setattr(jax, "default_backend", lambda: platform)
        assert accelerate(model) == (2 if "wrap" in options else 1)
    fast = trained(model)
    same(plain[0], fast[0])
    same(plain[1], fast[1])
    np.testing.assert_allclose(plain[2], fast[2], atol=2e-6)


def test_it_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    from tuning.training.fast_lstm.layer import accelerate

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("Keras's own loop was called")

    model = make(dropout=0.2)
    accelerate(model)
    monkeypatch.setattr(keras.layers.RNN, "inner_loop", refuse)
    monkeypatch.setattr(keras.layers.LSTM, "inner_loop", refuse)
    trained(model)


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "relu"},
        {"recurrent_activation": "hard_sigmoid"},
        {"use_bias": False},
        {"unroll": True},
        {"dtype": "mixed_bfloat16"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_it_does_not_compute_is_left_to_keras(options: dict[str, Any]) -> None:
    from tuning.training.fast_lstm.layer import accelerate

    assert accelerate(make(**options)) == 0


def test_masked_steps_are_left_to_keras() -> None:
    from tuning.training.fast_lstm.layer import accelerate

    plain = trained(make(masking=True))
    model = make(masking=True)
    accelerate(model)
    same(plain[1], trained(model)[1])


def test_the_saved_model_is_plain_keras(tmp_path: Path) -> None:
    import keras

    from tuning.training.fast_lstm.layer import accelerate

    model = make()
    accelerate(model)
    trained(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    lstm = next(layer for layer in loaded.layers if isinstance(layer, keras.layers.LSTM))
    assert "inner_loop" not in vars(lstm)
    rows = np.arange(2 * STEPS).reshape(2, STEPS) % 20
    np.testing.assert_allclose(
        loaded.predict(rows, verbose=0), model.predict(rows, verbose=0), atol=1e-6
    )


def test_accelerating_twice_is_accelerating_once() -> None:
    from tuning.training.fast_lstm.layer import accelerate

    model = make()
    assert (accelerate(model), accelerate(model)) == (1, 0)
