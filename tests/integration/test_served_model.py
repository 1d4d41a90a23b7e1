"""The registered model encodes as the training data were encoded, and refuses what is no text."""

import importlib.util
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

CODE = Path(__file__).parents[2] / "pipelines" / "imdb" / "serving_model.py"
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
    model.model = SimpleNamespace(
        predict=lambda rows, **_: np.linspace(0.1, 0.9, len(rows))[:, None]
    )
    return model


SERVED = make_served()


@given(
    st.text(max_size=60) | st.lists(st.sampled_from([*VOCABULARY, "<br />", "x"])).map(" ".join)
)
def test_it_encodes_as_the_training_data(review: str) -> None:
    expected = text.encode_texts([review], VOCABULARY, 8)[0]
    np.testing.assert_array_equal(SERVED.encode(review), expected)


def test_its_constants_are_those_of_training() -> None:
    source = CODE.read_text()
    assert f"START, UNKNOWN = {text.START}, {text.UNKNOWN}" in source
    assert "pipelines" not in source.replace("``pipelines.imdb.text``", "")
    assert "import tuning" not in source


def test_labels_and_probabilities(served: Any) -> None:
    answer = served.predict(None, pd.DataFrame({"review": ["a good film", "not a good film"]}))
    assert answer["label"].tolist() == ["negative", "positive"]
    assert answer["probability"].tolist() == [0.1, 0.9]


@pytest.mark.parametrize("reviews", [[5], [None], [""], ["  "], [["a"]], [True], ["fine", 5]])
def test_what_is_no_text_is_refused(served: Any, reviews: list[Any]) -> None:
    with pytest.raises(MlflowException, match="must be text that is not empty"):
        served.predict(None, pd.DataFrame({"review": reviews}))


def test_no_rows_and_no_column_are_refused(served: Any) -> None:
    with pytest.raises(MlflowException, match="there are no reviews"):
        served.predict(None, pd.DataFrame({"review": []}))
    with pytest.raises(MlflowException, match="column 'review' is missing"):
        served.predict(None, pd.DataFrame({"text": ["a"]}))
