"""Which words moved an answer."""

from collections.abc import Sequence

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from pipelines.imdb.occlusion import occlusion


def count_good(reviews: Sequence[str]) -> pd.DataFrame:
    """Every "good" makes an answer more probable, every "bad" less, and "very" nothing."""
    texts = pd.Series(reviews).str.lower()
    probability = 0.5 + 0.1 * texts.str.count("good") - 0.2 * texts.str.count("bad")
    return pd.DataFrame({"label": "?", "probability": probability})


def test_the_strongest_words_come_first_with_their_direction() -> None:
    found = occlusion(count_good, "A very good film with a BAD ending.", count=2)
    assert [word for word, _ in found] == ["bad", "good"]
    assert [effect for _, effect in found] == pytest.approx([-0.2, 0.1])


def test_one_word_cannot_be_left_out() -> None:
    assert occlusion(count_good, "good") == []


def say_nothing(reviews: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({"label": ["?"] * len(reviews)})


def test_an_answer_without_a_number_is_not_explained() -> None:
    assert occlusion(say_nothing, "a good film") == []


def want_text(reviews: Sequence[str]) -> pd.DataFrame:
    if any(review.isnumeric() for review in reviews):
        raise MlflowException.invalid_parameter_value("a number is no review")
    return count_good(reviews)


def test_a_word_whose_absence_leaves_no_text_is_passed_over() -> None:
    assert occlusion(want_text, "good 10") == []
    found = occlusion(want_text, "10 good bad")
    assert [word for word, _ in found] == ["bad", "good"]
    assert [effect for _, effect in found] == pytest.approx([-0.2, 0.1])
