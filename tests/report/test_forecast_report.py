"""The report of forecasts and of rows that depend on each other."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.factories import make_study
from tests.report.test_report import make_record
from tuning.core.record import Predictions
from tuning.evaluation.comparison import compare
from tuning.report.report import write_report
from tuning.report.tables import coverage_rows, variances_text
from tuning.report.tables import test_rows as rows_of_tests
from tuning.study.record import StudyRecord

QUANTILES = (0.1, 0.5, 0.9)
HOURS = np.datetime64("2011-03-01T00") + np.arange(400).astype("timedelta64[h]")


def record_of(metric: str, **known: Any) -> StudyRecord:
    """A record of forecasts of three steps with their quantiles."""
    study = make_study(confirm={"seeds": 3, "top_k": 2}, compare={"metric": metric})
    record = make_record({}, study=study)
    assert record.predictions is not None
    random = np.random.default_rng(0)
    truth = np.sin(np.arange(400) / 4)[:, None] + random.normal(0, 0.3, (400, 3))
    outputs = {}
    for name in record.predictions.outputs:
        size = 0.2 if "optuna" in name else 0.5
        middle = truth + size * random.normal(size=(400, 3))
        spread = np.array([-0.6, 0.0, 0.6])
        outputs[name] = middle[:, :, None] + spread if "quantiles" in metric else middle
    levels = QUANTILES if "quantiles" in metric else ()
    predictions = Predictions(truth, outputs, "regression", quantiles=levels, shape=(3,), **known)
    return replace(record, predictions=predictions)


@pytest.mark.parametrize("metric", ["mae", "pinball(quantiles=0.1-0.5-0.9)"])
def test_a_forecast_has_its_figures_tables_and_tests(metric: str, tmp_path: Path) -> None:
    record = record_of(metric, times=HOURS, ends=HOURS + 2)
    comparison = compare(record)
    write_report(record, comparison, tmp_path)
    drawn = {file.stem for file in (tmp_path / "figures").glob("*.svg")}
    expected = {"forecast_and_truth", "error_by_step", "error_by_clock", "error_autocorrelation"}
    assert expected <= drawn
    assert ("quantiles" in drawn) is ("quantiles" in metric)
    text = (tmp_path / "report.md").read_text("utf-8")
    assert "Diebold–Mariano statistic, models of the first seed" in text
    assert "McNemar" not in text
    assert ("between 0.1 and 0.9" in text) is ("quantiles" in metric)
    assert "drawn in blocks of" in text and "drawn in blocks of" in (
        tmp_path / "report.html"
    ).read_text("utf-8")


def test_the_coverage_of_quantiles_is_a_row_per_configuration() -> None:
    record = record_of("pinball(quantiles=0.1-0.5-0.9)", times=HOURS, ends=HOURS + 2)
    comparison = compare(record)
    assert comparison.best is not None
    rows = coverage_rows(record, [comparison.baseline, comparison.best])
    assert rows[0] == [
        "configuration",
        "at or below 0.1",
        "at or below 0.5",
        "at or below 0.9",
        "between 0.1 and 0.9",
    ]
    assert [row[0] for row in rows[1:]] == ["baseline", comparison.best.label]
    assert rows[2][4].endswith("% of 80%") and float(rows[2][4].split("%")[0]) > 98
    assert coverage_rows(record_of("mae"), [comparison.baseline]) == []


def test_the_report_says_which_variances_the_interval_holds() -> None:
    alone, times, groups, cuts = (
        compare(record_of("mae", **known))
        for known in (
            {},
            {"times": np.arange(400)},
            {"groups": np.arange(400) // 40},
            {"overlap": 0.75},
        )
    )
    texts = [variances_text(each.gain) for each in (alone, times, groups, cuts)]
    assert texts[0] == (
        "The interval holds for other seeds, the same training rows, and other test rows."
    )
    assert "other test times (400, drawn" in texts[1]
    assert "other test groups (10, each drawn as a whole)" in texts[2]
    assert "other training rows (two trainings share 75% of theirs)" in texts[3]
    assert cuts.gain is not None and alone.gain is not None
    assert cuts.gain.high - cuts.gain.low > alone.gain.high - alone.gain.low
    assert rows_of_tests(cuts, make_study().compare)[1][0] == "seeds, training rows and examples"
    assert alone.diebold_mariano is None and times.diebold_mariano is not None
