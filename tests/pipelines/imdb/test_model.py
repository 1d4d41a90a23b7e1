"""The flagship model with everything that a study may choose."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.imdb.model import build, padding_is_free
from pipelines.imdb.text import UNKNOWN
from tuning.core.errors import BadInputError
from tuning.study.file import load_study

pytestmark = pytest.mark.slow

WORDS, LENGTH = 60, 14
PLAIN: dict[str, Any] = {
    "embedding_dim": 8,
    "units": 4,
    "spatial_dropout": 0.0,
    "dropout": 0.0,
    "recurrent_dropout": 0.0,
}
EXTENDED = Path(__file__).parents[3] / "pipelines/imdb/extended.yaml"


def make(**params: Any) -> Any:
    import keras

    keras.utils.clear_session()
    return build({**PLAIN, **params}, num_words=WORDS, max_len=LENGTH, reviews=640)


@pytest.fixture
def rows() -> Any:
    return np.random.default_rng(1).integers(3, WORDS, (6, LENGTH)).astype("int32")


def predict(model: Any, rows: Any) -> Any:
    return np.asarray(model.predict(rows, verbose=0))[:, 0]


def test_without_choices_it_is_the_notebooks_model() -> None:
    lstm = 4 * ((8 + 4) * 4 + 4)
    assert make().count_params() == WORDS * 8 + lstm + 4 + 1
    kinds = [type(layer).__name__ for layer in make(spatial_dropout=0.3).layers]
    assert kinds == ["InputLayer", "Embedding", "SpatialDropout1D", "LSTM", "Dense"]


@pytest.mark.parametrize(
    "params",
    [
        {"vocabulary_size": 20, "sequence_length": 5},
        {"masking": True, "bidirectional": True, "pooling": "mean"},
        pytest.param(
            {"pooling": "max", "output_dropout": 0.4, "recurrent_dropout": 0.2},
            marks=pytest.mark.full,
            id="pooling-output_dropout-recurrent_dropout",
        ),
        {"bidirectional": True, "learning_rate_decay": 0.5, "batch_size": 64},
    ],
    ids=lambda params: "-".join(params),
)
def test_every_choice_can_be_trained_saved_and_loaded(
    params: dict[str, Any], rows: Any, tmp_path: Path
) -> None:
    import keras

    model = make(**params)
    model.fit(rows, np.array([0, 1] * 3), epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    # safe_mode, as the served model is loaded.
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(predict(loaded, rows), predict(model, rows), atol=1e-6)


def test_a_shorter_sequence_is_the_end_of_the_row(rows: Any) -> None:
    model = make(sequence_length=5)
    other = rows.copy()
    other[:, :-5] = 7
    np.testing.assert_array_equal(predict(model, rows), predict(model, other))
    other[:, -5] = UNKNOWN
    assert (predict(model, rows) != predict(model, other)).any()


def test_rarer_words_become_unknown(rows: Any) -> None:
    model = make(vocabulary_size=20)
    assert model.get_layer(index=-3).input_dim == 20
    np.testing.assert_array_equal(
        predict(model, rows), predict(model, np.where(rows < 20, rows, UNKNOWN))
    )


@pytest.mark.parametrize(
    ("params", "free"),
    [
        ({}, False),
        ({"masking": True}, True),
        ({"masking": True, "pooling": "mean", "bidirectional": True}, True),
        ({"masking": True, "sequence_length": 5}, True),
        ({"masking": True, "pooling": "max"}, False),
    ],
    ids=str,
)
def test_whether_padding_is_free_is_known(params: dict[str, Any], free: bool) -> None:
    assert padding_is_free(make(**params), LENGTH) is free


def test_masked_padding_changes_nothing() -> None:
    row = np.array([[0, 0, 0, 0, 5, 9, 12]], dtype="int32")
    padded = np.pad(row, ((0, 0), (LENGTH - row.shape[1], 0)))
    lengthened = padded.copy()
    for pooling in ("last", "mean"):
        model = make(masking=True, pooling=pooling)
        short = build(
            {**PLAIN, "masking": True, "pooling": pooling}, num_words=WORDS, max_len=7, reviews=64
        )
        short.set_weights(model.get_weights())
        np.testing.assert_allclose(predict(short, row), predict(model, lengthened), atol=1e-6)


def test_the_rate_falls_after_each_epoch() -> None:
    decaying = {"learning_rate": 0.01, "learning_rate_decay": 0.5}
    schedule = make(**decaying, batch_size=64).optimizer._learning_rate
    rates = [float(schedule(step)) for step in (0, 9, 10, 20)]
    assert rates == pytest.approx([0.01, 0.01, 0.005, 0.0025])
    with pytest.raises(BadInputError, match=r"declare batch_size.*training: \{batch_size: batch_"):
        make(**decaying)


def test_the_extended_study_holds_the_notebooks_baseline_and_all_it_names_is_built() -> None:
    study = load_study(EXTENDED)
    plain = load_study(EXTENDED.with_name("study.yaml"))
    assert plain.baseline.items() <= study.baseline.items()
    richest = study.space.canonical(
        {
            **study.baseline,
            "masking": True,
            "bidirectional": True,
            "pooling": "max",
            "schedule": "exponential",
            "learning_rate_decay": 0.5,
            "output_dropout": 0.3,
        }
    )
    assert build(richest, num_words=20_000, max_len=400, reviews=640).count_params()
