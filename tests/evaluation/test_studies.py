"""Studies side by side."""

from dataclasses import replace

from tests.factories import make_study
from tests.report.test_report import make_record
from tuning.evaluation.studies import differences, read_all, studies_table

GOOD = {"baseline": 0.80, "optuna-002": 0.90}
POOR = {"baseline": 0.80, "optuna-002": 0.80}


def test_the_study_with_the_better_model_is_named() -> None:
    studies = read_all(
        [replace(make_record(POOR), run_id="a" * 32), replace(make_record(GOOD), run_id="b" * 32)]
    )
    (sentence,) = differences(studies)
    assert "bbbbbbbb has the better model" in sentence
    assert "same test rows" in sentence
    head, first, second = studies_table(studies)
    assert head[3:5] == ["metric", "verdict"]
    assert first[3] == second[3] == "accuracy"
    assert (first[4], second[4]) == ("inconclusive", "better")


def test_equal_studies_are_not_told_apart() -> None:
    studies = read_all([replace(make_record(GOOD), run_id=letter * 32) for letter in "ab"])
    assert "neither has a clearly better model" in differences(studies)[0]


def test_studies_of_other_data_are_not_compared() -> None:
    record = make_record(GOOD)
    other = replace(record, run_id="b" * 32, data=replace(record.data, digest="other"))
    (sentence,) = differences(read_all([record, other]))
    assert "different data" in sentence


def test_studies_with_other_metrics_are_not_compared() -> None:
    other = make_record(GOOD, run_id="b" * 32, study=make_study(compare={"metric": "log_loss"}))
    (sentence,) = differences(read_all([make_record(GOOD), other]))
    assert "different metrics (accuracy, log_loss)" in sentence


def test_every_pair_is_compared() -> None:
    records = [replace(make_record(GOOD), run_id=letter * 32) for letter in "abc"]
    assert len(differences(read_all(records))) == 3


def test_a_study_whose_test_split_was_not_read_is_said_to_have_no_answer() -> None:
    records = [make_record(GOOD), replace(make_record(GOOD, predictions=None), run_id="b" * 32)]
    assert "no winner with test predictions" in differences(read_all(records))[0]
