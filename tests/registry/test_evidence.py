"""What a registered version says of its study; the gate reads it."""

from dataclasses import replace

import pytest

from tests.report.test_report import detailed_record, make_record
from tuning.core.record import BehaviourCount
from tuning.evaluation.comparison import compare
from tuning.evaluation.error_analysis import behaviour_regression
from tuning.metrics.catalogue import make_metric
from tuning.registry.evidence import version_tags
from tuning.study.record import StudyRecord
from tuning.tracking import keys

ACCURACY = make_metric("accuracy")


def tags_of(record: StudyRecord) -> dict[str, str]:
    return version_tags(record, compare(record))


def test_a_version_says_what_its_study_found() -> None:
    record = make_record({"baseline": 0.80, "optuna-002": 0.88})
    tags, comparison = tags_of(record), compare(record)
    gain, best = comparison.gain, comparison.best
    assert gain is not None and best is not None
    assert {key: tags[key] for key in (keys.VERDICT, keys.METRIC, keys.INTERVAL)} == {
        keys.VERDICT: "better",
        keys.METRIC: "accuracy",
        keys.INTERVAL: ACCURACY.write_interval(gain.low, gain.high),
    }
    assert tags[keys.DIRECTION] == "maximize"
    assert float(tags[keys.GAIN]) == pytest.approx(100 * gain.estimate, abs=0.005)
    assert float(tags[keys.GAIN_LOW]) == pytest.approx(gain.low, abs=1e-6)
    assert float(tags["tuning.test_accuracy"]) == pytest.approx(best.mean_test, abs=1e-6)
    assert (tags[keys.DATASET], tags[keys.DATASET_DIGEST]) == ("toy", "d")
    assert tags[keys.PARENT_RUN] == record.run_id
    assert tags[keys.TRIAL] == "confirm-optuna-002-seed1"
    names = [f"confirm-optuna-002-seed{seed}" for seed in (1, 2, 3)]
    assert tags[keys.TRIALS].split(",") == names
    assert keys.BEHAVIOURS not in tags, "this task tests none"


def test_the_behaviour_that_became_worst_is_what_the_gate_learns() -> None:
    record = detailed_record()
    assert record.predictions is not None
    # Failures of 48 tests, by behaviour: one became better and two worse, one of them much.
    failures = {"baseline-seed1": (24, 10, 12), "confirm-optuna-002-seed1": (12, 34, 18)}
    behaviours = {
        name: tuple(
            BehaviourCount(f"behaviour {number}", "lower", "an example", 48, count)
            for number, count in enumerate(counts)
        )
        for name, counts in failures.items()
    }
    record = replace(record, predictions=replace(record.predictions, behaviours=behaviours))
    assert behaviour_regression(record, compare(record)) == pytest.approx(24 / 48)
    assert tags_of(record)[keys.BEHAVIOURS] == "0.5000"
