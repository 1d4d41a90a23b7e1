"""Which words moved an answer."""

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from tuning.explain import occlusion


class CountsGood:
    """Every "good" makes an answer more probable, every "bad" less, and "very" nothing."""

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        texts = frame["review"].str.lower()
        probability = 0.5 + 0.1 * texts.str.count("good") - 0.2 * texts.str.count("bad")
        return pd.DataFrame({"label": "?", "probability": probability})


def test_the_strongest_words_come_first_with_their_direction() -> None:
    found = occlusion(CountsGood(), "review", "A very good film with a BAD ending.", count=2)
    assert found == [("bad", pytest.approx(-0.2)), ("good", pytest.approx(0.1))]


def test_one_word_cannot_be_left_out() -> None:
    assert occlusion(CountsGood(), "review", "good") == []


class SaysNothing:
    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"label": ["?"] * len(frame)})


def test_an_answer_without_a_number_is_not_explained() -> None:
    assert occlusion(SaysNothing(), "review", "a good film") == []


class WantsText(CountsGood):
    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        if frame["review"].str.isnumeric().any():
            raise MlflowException.invalid_parameter_value("a number is no review")
        return super().predict(frame)


def test_a_word_whose_absence_leaves_no_text_is_passed_over() -> None:
    assert occlusion(WantsText(), "review", "good 10") == []
    assert occlusion(WantsText(), "review", "10 good bad") == [
        ("bad", pytest.approx(-0.2)),
        ("good", pytest.approx(0.1)),
    ]
