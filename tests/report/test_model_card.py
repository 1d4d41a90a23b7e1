"""The model card says what the report says, and how to use the version and to leave it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.report.test_report import STUDY, make_record
from tuning.core.forms import ServedModel
from tuning.evaluation.comparison import compare
from tuning.report.model_card import model_card
from tuning.report.tables import headline

SERVED = ServedModel(
    code=Path("model.py"),
    artifacts={},
    inputs={"review": "string"},
    outputs={"label": "string", "probability": "double"},
    input_example={"review": ["A fine film.", "A dull one."]},
    pip_requirements=["keras==3.15.1"],
    intended_use="To sort reviews.",
    limits=["It reads English only.", "It is often wrong."],
)


def card(accuracy: dict[str, float], served: ServedModel = SERVED, **data: Any) -> str:
    record = make_record(accuracy)
    record = replace(record, data=replace(record.data, digest="0123456789abcdef" * 4, **data))
    return model_card(record, compare(record), "my-model", served)


@pytest.mark.parametrize("best", [0.9, 0.8, 0.7])
def test_it_has_the_verdict_and_every_model_of_its_study(best: float) -> None:
    accuracy = {"baseline": 0.8, "optuna-002": best}
    text, comparison = card(accuracy), compare(make_record(accuracy))
    assert f"## Verdict\n\n{headline(comparison, STUDY.compare)}" in text
    assert comparison.best is not None
    for model in (comparison.baseline, *comparison.references, comparison.best):
        assert f"{100 * model.mean_test:.2f}% ± {100 * model.sd_test:.2f}" in text
    assert "Trial optuna-002 of study toy, run `" + "r" * 32 + "`" in text
    for change in comparison.changes:
        assert f"| {change.name} | {change.baseline} | {change.best} |" in text


def test_it_says_on_which_data_and_how_they_were_used() -> None:
    text = card({}, sizes={"train": 20_000, "test": 25_000})
    assert (
        "toy: 20,000 train, 25,000 test. Digest `0123456789abcdef`, test rows `unknown`." in text
    )
    assert "Predicted only once" in text
    assert "chosen on validation" in text
    assert card({}, warning="NOT REAL").startswith("# my-model\n\n**NOT REAL**\n")


def test_it_says_what_the_model_is_for_and_what_it_cannot() -> None:
    text = card({})
    assert "## Intended use\n\nTo sort reviews.\n" in text
    assert "## Limits\n\n- It reads English only.\n- It is often wrong.\n" in text
    bare = card({}, replace(SERVED, intended_use="", limits=()))
    assert "## Intended use" not in bare and "## Limits" not in bare


def test_it_says_how_to_use_the_version_and_how_to_go_back() -> None:
    text = card({})
    assert "Input: `review` (string). Output: `label` (string), `probability` (double)." in text
    assert 'mlflow.pyfunc.load_model("models:/my-model@champion")' in text
    assert "model.predict(pd.DataFrame({'review': ['A fine film.']}))" in text
    assert "mlflow models serve -m models:/my-model@champion" in text
    assert "`tuning.champions`" in text
    assert 'set_registered_model_alias("my-model", "champion", <previous version>)' in text
