"""The registered model encodes as the training data were encoded, and refuses what is no text."""

import importlib.util
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException

from pipelines.imdb import text

CODE = Path(__file__).parents[3] / "pipelines" / "imdb" / "serving_model.py"
VOCABULARY = {"a": 4, "good": 5, "film": 6, "not": 7, "it's": 8}


@pytest.fixture(scope="module")
def served() -> Any:
    return make_served()


def make_served() -> Any:
    spec = importlib.util.spec_from_file_location("serving_model", CODE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.ReviewSentiment()
    model.max_len, model.vocabulary = 8, VOCABULARY
    model.padding_is_free, model.lock = False, threading.Lock()
    model.shapes = []

    def predict_on_batch(rows: Any) -> Any:
        model.shapes.append(rows.shape)
        # Of the words alone, as a model that does not see its padding.
        return (np.asarray(rows).max(axis=1, keepdims=True) - 4) / 4

    model.model = SimpleNamespace(predict_on_batch=predict_on_batch)
    return model


SERVED = make_served()


@given(
    st.text(max_size=60) | st.lists(st.sampled_from([*VOCABULARY, "<br />", "x"])).map(" ".join)
)
def test_it_encodes_as_the_training_data(review: str) -> None:
    expected = text.encode_texts([review], VOCABULARY, 8)
    np.testing.assert_array_equal(SERVED.pad([SERVED.encode(review)]), expected)


def test_its_constants_are_those_of_training() -> None:
    source = CODE.read_text()
    assert f"START, UNKNOWN = {text.START}, {text.UNKNOWN}" in source
    assert "pipelines" not in source.replace("``pipelines.imdb.text``", "")
    assert "import tuning" not in source


def test_labels_and_probabilities(served: Any) -> None:
    answer = served.predict(None, pd.DataFrame({"review": ["a good film", "it's not good"]}))
    assert answer["label"].tolist() == ["positive", "positive"]
    assert answer["probability"].tolist() == [0.5, 1.0]


def test_texts_with_numbers_are_texts(served: Any) -> None:
    texts = ["10/10", "7 of 10", "None of it is good", "True."]
    assert len(served.predict(None, pd.DataFrame({"review": texts}))) == 4


@pytest.mark.parametrize("free", [False, True])
def test_a_batch_is_answered_as_its_reviews_are_one_by_one(free: bool) -> None:
    served = make_served()
    served.padding_is_free = free
    words = ["a", "good", "film", "not", "it's"]
    reviews = [" ".join([words[row % 5]] * (1 + row % 7)) for row in range(300)]
    together = served.predict(None, pd.DataFrame({"review": reviews}))
    assert len(served.shapes) == 2, "a full batch and the rest"
    alone = [served.predict(None, pd.DataFrame({"review": [text]})) for text in reviews]
    assert together["probability"].tolist() == [one["probability"][0] for one in alone]
    assert together["probability"].nunique() > 1


def test_few_shapes_are_ever_asked_for_so_few_programs_are_compiled() -> None:
    served = make_served()
    served.padding_is_free = True
    for count in range(1, 60):
        served.predict(None, pd.DataFrame({"review": ["film " * (count % 12 + 1)] * count}))
    assert {rows for rows, _ in served.shapes} == {1, 8, 64}
    assert {length for _, length in served.shapes} == {2, 4, 8}


@pytest.mark.parametrize(
    "reviews",
    [
        [5],
        [None],
        [""],
        ["  "],
        [["a"]],
        [True],
        ["fine", 5],
        ["None "],
        ["7.5"],
        ["nan"],
        ["-inf"],
    ],
)
def test_what_is_no_text_is_refused(served: Any, reviews: list[Any]) -> None:
    with pytest.raises(MlflowException, match="must be a text and not only a number"):
        served.predict(None, pd.DataFrame({"review": reviews}))


def test_no_rows_and_no_column_are_refused(served: Any) -> None:
    with pytest.raises(MlflowException, match="there are no reviews"):
        served.predict(None, pd.DataFrame({"review": []}))
    with pytest.raises(MlflowException, match="column 'review' is missing"):
        served.predict(None, pd.DataFrame({"text": ["a"]}))
